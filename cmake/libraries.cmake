# The libraries that other programs link, made of the objects that the tests and the command use too:
#   libmezzotint.so.1, libmezzotint.a                  all of mezzotint.h
#   libmezzotint-runtime.so.1, libmezzotint-runtime.a  what runs compiled models: no compiler, no JSON, no PNG
#   mezzotint.pc, mezzotintConfig.cmake, headers, manual pages
# Exported is what src/api/symbols.txt lists, under the version MEZZOTINT_<ABI>.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(abi 1) # MZT_ABI_VERSION of mezzotint.h
file(STRINGS ${PROJECT_SOURCE_DIR}/runtime/include/mezzotint.h abi_line REGEX "#define MZT_ABI_VERSION")
if(NOT abi_line MATCHES " ${abi}$")
  message(FATAL_ERROR "cmake/libraries.cmake and mezzotint.h disagree on the ABI's version")
endif()

# Training and evaluation are the command's own.
set(full_objects
  "$<FILTER:$<TARGET_OBJECTS:mezzotint>,EXCLUDE,/train/|/score/|/bench/|pipeline/(eval|convert)>"
  $<TARGET_OBJECTS:mezzotint-runtime>)
if(TARGET mezzotint-shaders)
  list(APPEND full_objects $<TARGET_OBJECTS:mezzotint-shaders>)
endif()
# A linker version script from the list of symbols.
function(export_only target symbols)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    return()
  endif()
  set(script ${PROJECT_BINARY_DIR}/${target}.map)
  file(STRINGS ${symbols} names)
  set(body "")
  foreach(name ${names})
    string(APPEND body "    ${name}@end@\n")
  endforeach()
  set(end ";")
  file(CONFIGURE OUTPUT ${script} CONTENT "MEZZOTINT_${abi} {\n  global:\n${body}  local: *@end@\n}@end@\n" @ONLY)
  target_link_options(${target} PRIVATE -Wl,--version-script=${script} -Wl,--no-undefined -Wl,--gc-sections)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS ${script})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${symbols})
endfunction()

# NAME as a shared and as a static library; both are installed. The inner library's archive is linked for what it needs
# in turn; its members are there already.
function(add_library_pair name objects inner symbols)
  add_library(${name}-shared SHARED ${objects})
  add_library(${name}-static STATIC ${objects})
  foreach(kind shared static)
    set_target_properties(${name}-${kind} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C
      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
    target_include_directories(${name}-${kind} INTERFACE
      $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/runtime/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  endforeach()
  set_target_properties(${name}-shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${abi})
  target_link_libraries(${name}-shared PRIVATE ${inner})
  target_link_libraries(${name}-static INTERFACE $<BUILD_INTERFACE:${inner}>)
  export_only(${name}-shared ${symbols})
  install(TARGETS ${name}-shared ${name}-static EXPORT mezzotintTargets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libraries
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libraries
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT libraries)
endfunction()

add_library_pair(mezzotint "${full_objects}" mezzotint ${PROJECT_SOURCE_DIR}/src/api/symbols.txt)
# The small runtime: executors, and of src/ what runs a compiled model.
set(source ${PROJECT_SOURCE_DIR}/src)
file(GLOB runtime_sources CONFIGURE_DEPENDS ${source}/sample/*.c ${source}/api/*.c)
list(FILTER runtime_sources EXCLUDE REGEX "/(config_json|open|estimate|compile|png|validate)\\.c$")
list(APPEND runtime_sources ${source}/sample/compile.c)
foreach(name text/bpe text/bpe_merge text/bpe_packed text/clean text/lower text/vocabulary text/known_words text/prompt
    text/prompt_tags text/prompt_tokens image/image image/resize model/facts model/tensor_layout
    pipeline/generate pipeline/generate_resolve pipeline/generation pipeline/generation_stages pipeline/generator
    pipeline/model_missing pipeline/network pipeline/part pipeline/packed pipeline/packed_facts pipeline/conditioning pipeline/prompts
    pipeline/denoise pipeline/autoencoder pipeline/latent_map pipeline/source pipeline/start)
  list(APPEND runtime_sources ${source}/${name}.c)
endforeach()
# Small: for size but where the time goes, without unwind tables, and without oneDNN.
file(GLOB executor_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/*.c ${PROJECT_SOURCE_DIR}/runtime/base/*.c
  ${PROJECT_SOURCE_DIR}/runtime/plan/*.c ${PROJECT_SOURCE_DIR}/runtime/cpu/*.c)
if(MZT_VULKAN)
  file(GLOB vulkan_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/runtime/vulkan/*.c)
  list(APPEND executor_sources ${vulkan_sources})
endif()
list(FILTER executor_sources EXCLUDE REGEX "/cpu/kernels_[a-z0-9]+\\.c$")
add_library(mezzotint-runner STATIC ${runtime_sources} ${executor_sources})
target_compile_options(mezzotint-runner PRIVATE -Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables)
target_include_directories(mezzotint-runner PUBLIC ${source} ${PROJECT_SOURCE_DIR}/runtime
  ${PROJECT_SOURCE_DIR}/runtime/include ${PROJECT_SOURCE_DIR}/shaders/include)
target_link_libraries(mezzotint-runner PUBLIC Threads::Threads m ${CMAKE_DL_LIBS} PRIVATE PkgConfig::UTF8PROC)
set(runtime_objects $<TARGET_OBJECTS:mezzotint-runner>
  "$<FILTER:$<TARGET_OBJECTS:mezzotint-runtime>,INCLUDE,/cpu/kernels_[a-z0-9]+>")
if(MZT_VULKAN)
  target_compile_definitions(mezzotint-runner PRIVATE MZT_HAVE_VULKAN=1)
  target_link_libraries(mezzotint-runner PRIVATE mezzotint-shaders-runtime)
  list(APPEND runtime_objects $<TARGET_OBJECTS:mezzotint-shaders-runtime>)
endif()
add_library_pair(mezzotint-runtime "${runtime_objects}" mezzotint-runner ${PROJECT_SOURCE_DIR}/src/api/symbols.txt)
add_library(mezzotint::runtime ALIAS mezzotint-runtime-shared)
add_library(mezzotint::runtime-static ALIAS mezzotint-runtime-static)
set_target_properties(mezzotint-runtime-shared PROPERTIES EXPORT_NAME runtime)
set_target_properties(mezzotint-runtime-static PROPERTIES EXPORT_NAME runtime-static)

add_library(mezzotint::mezzotint ALIAS mezzotint-shared)
add_library(mezzotint::static ALIAS mezzotint-static)
set_target_properties(mezzotint-shared PROPERTIES EXPORT_NAME mezzotint)
set_target_properties(mezzotint-static PROPERTIES EXPORT_NAME static)

file(GLOB public_headers ${PROJECT_SOURCE_DIR}/runtime/include/*.h)
install(FILES ${public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT libraries)

# What a static library leaves to be linked, for pkg-config and the CMake package alike.
set(static_libraries "-lpthread -lm -ldl")
set(static_runtime_libraries "-lpthread -lm -ldl")
set(static_packages "libpng libcjson libutf8proc zlib")
get_target_property(linked mezzotint-runtime LINK_LIBRARIES)
if(linked MATCHES dnnl)
  string(APPEND static_libraries " -ldnnl")
endif()
string(REPLACE "-l" "" static_names "${static_libraries}")
configure_file(${PROJECT_SOURCE_DIR}/cmake/mezzotint.pc.in ${PROJECT_BINARY_DIR}/mezzotint.pc @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/cmake/mezzotint-runtime.pc.in ${PROJECT_BINARY_DIR}/mezzotint-runtime.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mezzotint.pc ${PROJECT_BINARY_DIR}/mezzotint-runtime.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT libraries)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/mezzotint)
install(EXPORT mezzotintTargets NAMESPACE mezzotint:: DESTINATION ${package_folder} COMPONENT libraries)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mezzotintConfig.cmake.in
  ${PROJECT_BINARY_DIR}/mezzotintConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mezzotintConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mezzotintConfig.cmake ${PROJECT_BINARY_DIR}/mezzotintConfigVersion.cmake
  DESTINATION ${package_folder} COMPONENT libraries)

# The command, its manual, and the model that ships.
if(TARGET mezzotint-command)
  install(TARGETS mezzotint-command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  if(NOT CMAKE_CROSSCOMPILING)
    set(manual ${PROJECT_BINARY_DIR}/man)
    add_custom_command(OUTPUT ${manual}/mezzotint.1
      COMMAND sh ${PROJECT_SOURCE_DIR}/tools/build/manual.sh $<TARGET_FILE:mezzotint-command> ${manual}
      DEPENDS mezzotint-command ${PROJECT_SOURCE_DIR}/tools/build/manual.sh VERBATIM)
    add_custom_target(manual ALL DEPENDS ${manual}/mezzotint.1)
    install(DIRECTORY ${manual}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
  endif()
  if(EXISTS ${PROJECT_SOURCE_DIR}/models/sprite/model_index.json)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/sprite DESTINATION ${CMAKE_INSTALL_DATADIR}/mezzotint/models
      COMPONENT command)
  endif()
endif()
