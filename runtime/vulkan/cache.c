/* The pipeline cache's file; see cache.h.
 *
 * The file begins with a header of ours (magic, size, checksum, and what names device and driver), since
 * drivers differ in how well they survive a damaged blob; then follows the blob as the driver gave it. */
#include "vulkan/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

/* After "MZT". */
#define CACHE_MAGIC 0x3143505a4d540a0dULL
#define CACHE_LIMIT ((uint64_t)256 << 20)

typedef struct cache_header {
    uint64_t magic, blob_bytes, checksum;
    uint32_t vendor, device, driver_version, api_version;
    uint8_t uuid[VK_UUID_SIZE];
} cache_header;

/* FNV-1a, 64 bits. */
static uint64_t checksum(const uint8_t *data, uint64_t size) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    return hash;
}

static cache_header make_header(const vulkan_device *device, const uint8_t *blob, uint64_t bytes) {
    const VkPhysicalDeviceProperties *properties = &device->physical.properties;
    cache_header header = {
        .magic = CACHE_MAGIC,
        .blob_bytes = bytes,
        .checksum = checksum(blob, bytes),
        .vendor = properties->vendorID,
        .device = properties->deviceID,
        .driver_version = properties->driverVersion,
        .api_version = properties->apiVersion,
    };
    memcpy(header.uuid, properties->pipelineCacheUUID, VK_UUID_SIZE);
    return header;
}

/* $XDG_CACHE_HOME/mezzotint, else ~/.cache/mezzotint; on Windows %LOCALAPPDATA%/mezzotint. NULL: none of
 * them, or no memory. */
static char *default_directory(const base_host *host) {
#if defined(_WIN32)
    const char *base = getenv("LOCALAPPDATA");
    return base && base[0] ? path_join(host, base, "mezzotint") : NULL;
#else
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (base && base[0] == '/')
        return path_join(host, base, "mezzotint"); /* relative ones are to be ignored */
    return home && home[0] == '/' ? path_join(host, home, ".cache/mezzotint") : NULL;
#endif
}

static char *cache_path(const vulkan_device *device, const char *directory) {
    const VkPhysicalDeviceProperties *properties = &device->physical.properties;
    char name[96];
    int length =
        snprintf(name, sizeof name, "pipelines-%04x-%04x-", properties->vendorID, properties->deviceID);
    for (uint32_t i = 0; i < VK_UUID_SIZE; i++) {
        length +=
            snprintf(name + length, sizeof name - (size_t)length, "%02x", properties->pipelineCacheUUID[i]);
    }
    snprintf(name + length, sizeof name - (size_t)length, ".bin");
    if (directory) return directory[0] ? path_join(device->host, directory, name) : NULL;
    char *folder = default_directory(device->host);
    char *path = folder ? path_join(device->host, folder, name) : NULL;
    host_free(device->host, folder);
    return path;
}

/* The blob inside a file that is whole and belongs to this device and driver, else NULL. */
static const uint8_t *check_file(const vulkan_device *device, const char *data, uint64_t size,
                                 uint64_t *blob_bytes) {
    cache_header found;
    if (size <= sizeof found) return NULL;
    memcpy(&found, data, sizeof found);
    const uint8_t *blob = (const uint8_t *)data + sizeof found;
    cache_header expected = make_header(device, blob, size - sizeof found);
    if (memcmp(&found, &expected, sizeof found) != 0) return NULL;
    *blob_bytes = size - sizeof found;
    return blob;
}

mzt_status vulkan_cache_create(vulkan_device *device, const char *directory, vulkan_cache *cache,
                               mzt_error *error) {
    memset(cache, 0, sizeof *cache);
    char *data = NULL;
    uint64_t size = 0, blob_bytes = 0;
    const uint8_t *blob = NULL;
    if (device->host_cache) {
        cache->handle = device->host_cache;
        cache->borrowed = true;
        return MZT_OK;
    }
    cache->path = cache_path(device, directory);
    if (cache->path && file_read(device->host, cache->path, CACHE_LIMIT, &data, &size, NULL) == MZT_OK) {
        blob = check_file(device, data, size, &blob_bytes);
        if (!blob)
            host_log(device->host, MZT_LOG_INFO, "%s: ignored, damaged or from another driver", cache->path);
    }
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = (size_t)blob_bytes,
        .pInitialData = blob,
    };
    VkResult result = device->vk.CreatePipelineCache(device->handle, &info, NULL, &cache->handle);
    cache->stored = blob_bytes;
    host_free(device->host, data);
    return vulkan_device_check(device, result, "vkCreatePipelineCache", error);
}

static mzt_status write_file(const vulkan_device *device, const char *path, const uint8_t *blob,
                             uint64_t bytes, mzt_error *error) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? host_strndup(device->host, path, (size_t)(slash - path)) : NULL;
    mzt_status status = folder ? folder_create(device->host, folder, error) : MZT_OK;
    host_free(device->host, folder);
    if (status < 0) return status;
    cache_header header = make_header(device, blob, bytes);
    file_writer *writer;
    TRY(file_writer_open(device->host, path, &writer, error));
    status = file_writer_write(writer, &header, sizeof header, error);
    if (status == MZT_OK) status = file_writer_write(writer, blob, bytes, error);
    if (status == MZT_OK) return file_writer_commit(writer, error);
    file_writer_abandon(writer);
    return status;
}

void vulkan_cache_save(vulkan_device *device, vulkan_cache *cache) {
    size_t bytes = 0;
    if (!cache->path || !cache->handle || device->lost) return;
    if (device->vk.GetPipelineCacheData(device->handle, cache->handle, &bytes, NULL) != VK_SUCCESS) return;
    if (bytes == 0 || bytes > CACHE_LIMIT || bytes == cache->stored) return;
    uint8_t *blob = host_calloc(device->host, bytes, 1);
    if (!blob) return;
    mzt_error error;
    if (device->vk.GetPipelineCacheData(device->handle, cache->handle, &bytes, blob) == VK_SUCCESS) {
        if (write_file(device, cache->path, blob, bytes, &error) == MZT_OK)
            cache->stored = bytes;
        else
            host_log(device->host, MZT_LOG_WARNING, "pipeline cache not written: %s", error.message);
    }
    host_free(device->host, blob);
}

void vulkan_cache_destroy(vulkan_device *device, vulkan_cache *cache) {
    if (cache->handle && !cache->borrowed)
        device->vk.DestroyPipelineCache(device->handle, cache->handle, NULL);
    host_free(device->host, cache->path);
    memset(cache, 0, sizeof *cache);
}
