/* Build tool: turns the compiled shaders and their manifest into C, the table of
 * runtime/vulkan/shader_table.h.
 *
 *   mezzotint-embed FOLDER OUTPUT.c MANIFEST
 *
 * FOLDER/MANIFEST has one row per variant:
 * name op activation weight needs shape class local tile_m tile_n module. Rows that name the same module as
 * the row before share its code. */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 11, TEXT = 160, LINE = 1024 };
enum { NAME, OP, ACTIVATION, WEIGHT, NEEDS, SHAPE, CLASS, LOCAL, TILE_M, TILE_N, MODULE };

typedef struct row {
    char column[COLUMNS][TEXT];
    unsigned code; /* number of the array that holds its module */
} row;

static void die(const char *what, const char *which) {
    fprintf(stderr, "mezzotint-embed: %s: %s\n", which, what);
    exit(1);
}

static void upper(const char *text, char *out) {
    do
        *out++ = (char)toupper((unsigned char)*text);
    while (*text++);
}

/* Writes one module as LEB128 bytes, and how long it was before. */
static void embed_module(FILE *out, const char *folder, const row *r) {
    char path[LINE];
    if (snprintf(path, sizeof path, "%s/%s", folder, r->column[MODULE]) >= (int)sizeof path)
        die("path too long", folder);
    FILE *in = fopen(path, "rb");
    if (!in) die("cannot open", path);
    fprintf(out, "static const uint8_t code%u[] = { /* %s */", r->code, r->column[MODULE]);
    uint32_t word;
    size_t words = 0, bytes = 0;
    while (fread(&word, sizeof word, 1, in) == 1) {
        if (words++ == 0 && word != 0x07230203u) die("not SPIR-V of this machine's byte order", path);
        for (bool more = true; more; word >>= 7) {
            more = word > 0x7f;
            fprintf(out, "%s%u,", bytes++ % 24 ? "" : "\n", (unsigned)((word & 0x7f) | (more ? 0x80u : 0)));
        }
    }
    if (words == 0 || ferror(in)) die("cannot read", path);
    fclose(in);
    fprintf(out, "\n};\nenum { CODE%u_BYTES = %zu };\n", r->code, 4 * words);
}

static void write_bits(FILE *out, const char *prefix, const char *list) {
    char text[TEXT], name[TEXT];
    strcpy(text, list);
    fprintf(out, "0");
    for (char *item = strtok(text, ","); item; item = strtok(NULL, ",")) {
        upper(item, name);
        if (strcmp(name, "-") != 0) fprintf(out, " | %s%s", prefix, name);
    }
}

static void write_type(FILE *out, const char *type) {
    char name[TEXT];
    upper(type, name);
    if (strcmp(name, "-") == 0)
        fprintf(out, "-1, ");
    else
        fprintf(out, "DTYPE_%s, ", name);
}

static void write_row(FILE *out, const row *r) {
    char op[TEXT], class_[TEXT];
    upper(r->column[OP], op);
    upper(r->column[CLASS], class_);
    fprintf(out, "    {\"%s\", OP_%s, ", r->column[NAME], op);
    write_type(out, r->column[ACTIVATION]);
    write_type(out, r->column[WEIGHT]);
    write_bits(out, "SHADER_NEEDS_", r->column[NEEDS]);
    fprintf(out, ", ");
    write_bits(out, "SHADER_SHAPE_", r->column[SHAPE]);
    fprintf(out, ", SHADER_CLASS_%s, %s, %s, %s, code%u, sizeof code%u, CODE%u_BYTES},\n", class_,
            r->column[LOCAL], r->column[TILE_M], r->column[TILE_N], r->code, r->code, r->code);
}

static unsigned read_rows(const char *folder, const char *manifest, row **rows) {
    char path[LINE], line[LINE];
    if (snprintf(path, sizeof path, "%s/%s", folder, manifest) >= (int)sizeof path)
        die("path too long", folder);
    FILE *in = fopen(path, "r");
    if (!in) die("cannot open", path);
    unsigned count = 0;
    *rows = NULL;
    while (fgets(line, sizeof line, in)) {
        row *grown = realloc(*rows, (count + 1) * sizeof **rows);
        if (!grown) die("out of memory", path);
        *rows = grown;
        row *r = &grown[count];
        int column = 0;
        for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
            if (column == COLUMNS || strlen(word) >= TEXT) die("malformed row", path);
            strcpy(r->column[column++], word);
        }
        if (column != COLUMNS) die("malformed row", path);
        r->code = count == 0 ? 0 : r[-1].code + (strcmp(r->column[MODULE], r[-1].column[MODULE]) != 0);
        count++;
    }
    fclose(in);
    return count;
}

int main(int argc, char **argv) {
    if (argc != 4) die("expected FOLDER OUTPUT.c MANIFEST", "usage");
    row *rows;
    unsigned count = read_rows(argv[1], argv[3], &rows);
    FILE *out = fopen(argv[2], "w");
    if (!out) die("cannot write", argv[2]);
    fprintf(out, "/* Generated from shaders/variants.txt. */\n#include \"vulkan/shader_table.h\"\n\n");
    for (unsigned i = 0; i < count; i++)
        if (i == 0 || rows[i].code != rows[i - 1].code) embed_module(out, argv[1], &rows[i]);
    fprintf(out, "\nconst shader_variant shader_variants[] = {\n");
    for (unsigned i = 0; i < count; i++)
        write_row(out, &rows[i]);
    fprintf(out, "};\nconst uint32_t shader_variant_count = %u;\n", count);
    free(rows);
    if (fclose(out) != 0) die("cannot write", argv[2]);
    return 0;
}
