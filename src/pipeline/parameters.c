/* Parameters in text; see parameters.h. */
#include "pipeline/parameters.h"

#include <stdio.h>
#include <string.h>

#include "json/json.h"
#include "json/json_write.h"

static const char negative_label[] = "Negative prompt:";
static const char length_key[] = "Prompt length";

/* -------------------------------------------------------------------------------------------------------
 * values -- */

mzt_status parameters_create(const base_host *host, const char *prompt, const char *negative, parameters *out,
                             mzt_error *error) {
    *out = (parameters){.host = host,
                        .prompt = host_strdup(host, prompt ? prompt : ""),
                        .negative = host_strdup(host, negative ? negative : "")};
    return out->prompt && out->negative ? MZT_OK
                                        : error_memory(error, "prompt", strlen(prompt ? prompt : ""));
}

void parameters_destroy(parameters *p) {
    if (!p->host) return;
    host_free(p->host, p->prompt);
    host_free(p->host, p->negative);
    for (uint32_t i = 0; i < p->count; i++) {
        host_free(p->host, p->pairs[i].key);
        host_free(p->host, p->pairs[i].value);
    }
    host_free(p->host, p->pairs);
    *p = (parameters){0};
}

/* Letters, digits and '_' (and the letters of other scripts) begin a key; the others may follow. */
static bool starts_key(unsigned char c) {
    return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

static bool continues_key(unsigned char c) {
    return starts_key(c) || c == ' ' || c == '-' || c == '/';
}

/* Bytes of the key at `text`; 0: there is none. */
static size_t key_length(const char *text) {
    size_t length = 0;
    if (!starts_key((unsigned char)text[0])) return 0;
    while (continues_key((unsigned char)text[length]))
        length++;
    return length >= 2 ? length : 0;
}

static mzt_status add(parameters *p, const char *key, size_t length, const char *value, mzt_error *error) {
    if (!HOST_GROW(p->host, p->pairs, p->count, p->capacity))
        return error_memory(error, "parameters", p->count);
    parameters_pair pair = {host_strndup(p->host, key, length), host_strdup(p->host, value)};
    if (!pair.key || !pair.value) {
        host_free(p->host, pair.key);
        host_free(p->host, pair.value);
        return error_memory(error, "parameters", strlen(value));
    }
    p->pairs[p->count++] = pair;
    return MZT_OK;
}

mzt_status parameters_add(parameters *p, const char *key, const char *value, mzt_error *error) {
    char shown[80];
    size_t length = key_length(key);
    if (length == 0 || key[length] || p->count >= PARAMETERS_PAIR_LIMIT)
        return error_set(error, MZT_ERROR_INVALID,
                         "parameter \"%s\": expected at most %u, with names of letters and digits",
                         error_text(shown, sizeof shown, key), PARAMETERS_PAIR_LIMIT);
    return add(p, key, length, value, error);
}

mzt_status parameters_addf(parameters *p, mzt_error *error, const char *key, const char *format, ...) {
    char value[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    return parameters_add(p, key, value, error);
}

mzt_status parameters_add_number(parameters *p, const char *key, double value, mzt_error *error) {
    json_writer w = json_writer_make(p->host);
    char *text;
    json_write_double(&w, NULL, value);
    TRY(json_writer_finish(&w, &text, NULL, error));
    mzt_status status = parameters_add(p, key, text, error);
    host_free(p->host, text);
    return status;
}

const char *parameters_find(const parameters *p, const char *key) {
    for (uint32_t i = 0; i < p->count; i++)
        if (strcmp(p->pairs[i].key, key) == 0) return p->pairs[i].value;
    return NULL;
}

bool parameters_number(const char *text, double *value) {
    /* Its own sum of digits would round twice; JSON's grammar is the only reader here that knows no locale.
     */
    const base_host host = host_make(NULL);
    json_doc *doc = NULL;
    double found = 0;
    while (*text == ' ')
        text++;
    bool ok = strlen(text) < 64 && json_parse(&host, "number", text, strlen(text), &doc, NULL) >= 0 &&
              json_as_double(json_root(doc), &found, NULL) >= 0 && found - found == 0;
    json_destroy(doc);
    if (ok) *value = found;
    return ok;
}

/* ------------------------------------------------------------------------------------------------------
 * parsing -- */

/* Reads the JSON string of `length` bytes at `text`, quotes included, into *value; *value stays NULL when it
 * is none. */
static mzt_status unquote(const base_host *host, const char *text, size_t length, char **value,
                          mzt_error *error) {
    json_doc *doc = NULL;
    const char *found;
    mzt_status status = json_parse(host, "parameters", text, length, &doc, NULL);
    if (status >= 0 && json_as_string(json_root(doc), &found, NULL) >= 0) *value = host_strdup(host, found);
    json_destroy(doc);
    if (status == MZT_ERROR_OUT_OF_MEMORY) return error_memory(error, "parameters", length);
    return MZT_OK;
}

/* Bytes of the quoted string at `text`, both quotes included; 0 when it does not end. */
static size_t quoted_length(const char *text) {
    for (size_t i = 1; text[i]; i++) {
        if (text[i] == '\\' && text[i + 1])
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Reads "key: value, key: value" into *p, skipping what is no pair. */
static mzt_status parse_settings(parameters *p, const char *line, mzt_error *error) {
    while (*line && p->count < PARAMETERS_PAIR_LIMIT) {
        while (*line == ' ' || *line == '\t' || *line == ',')
            line++;
        size_t length = key_length(line);
        if (length == 0 || line[length] != ':') {
            line += strcspn(line, ",");
            continue;
        }
        const char *from = line + length + 1;
        from += strspn(from, " \t");
        size_t size = *from == '"' ? quoted_length(from) : 0;
        char *value = NULL;
        if (size && (from[size] == ',' || !from[size])) TRY(unquote(p->host, from, size, &value, error));
        if (!value) {
            size = strcspn(from, ",");
            value = host_strndup(p->host, from, size);
        }
        if (!value) return error_memory(error, "parameters", size);
        mzt_status status = add(p, line, length, value, error);
        host_free(p->host, value);
        TRY(status);
        line = from + size;
    }
    return MZT_OK;
}

/* Where the first line that begins with the label starts in `text`; NULL: nowhere. */
static const char *find_negative(const char *text) {
    const char *line = text;
    while (line && strncmp(line, negative_label, sizeof negative_label - 1) != 0) {
        line = strchr(line, '\n');
        if (line) line++;
    }
    return line;
}

/* Divides the lines before the settings into *p's prompts. */
static mzt_status split_prompts(parameters *p, const char *body, size_t length, mzt_error *error) {
    char *text = host_strndup(p->host, body, length);
    if (!text) return error_memory(error, "prompt", length);
    const char *line = find_negative(text), *said = parameters_find(p, length_key);
    double bytes;
    if (said && parameters_number(said, &bytes) && bytes >= 0 && bytes <= (double)length) {
        size_t at = (size_t)bytes;
        line = at == length ? NULL : text + at + (at > 0);
        if (line && strncmp(line, negative_label, sizeof negative_label - 1) != 0) line = find_negative(text);
    }
    size_t prompt = !line ? length : line == text ? 0 : (size_t)(line - text) - 1;
    const char *negative = line ? line + sizeof negative_label - 1 : "";
    if (*negative == ' ') negative++;
    p->prompt = host_strndup(p->host, text, prompt);
    p->negative = host_strdup(p->host, negative);
    host_free(p->host, text);
    return p->prompt && p->negative ? MZT_OK : error_memory(error, "prompt", length);
}

/* "Prompt length" has done its work once the prompts are there. */
static void drop_length(parameters *p) {
    for (uint32_t i = 0; i < p->count; i++) {
        if (strcmp(p->pairs[i].key, length_key) != 0) continue;
        host_free(p->host, p->pairs[i].key);
        host_free(p->host, p->pairs[i].value);
        memmove(&p->pairs[i], &p->pairs[i + 1], (p->count - i - 1) * sizeof *p->pairs);
        p->count--;
        return;
    }
}

mzt_status parameters_parse(const base_host *host, const char *text, parameters *out, mzt_error *error) {
    *out = (parameters){.host = host};
    size_t length = strlen(text);
    if (length > PARAMETERS_TEXT_LIMIT || !json_is_utf8(text))
        return error_set(error, MZT_ERROR_INVALID,
                         "parameters of %llu bytes: expected UTF-8 of at most %u bytes",
                         (unsigned long long)length, PARAMETERS_TEXT_LIMIT);
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r' || text[length - 1] == ' '))
        length--;
    size_t last = length;
    while (last && text[last - 1] != '\n')
        last--;
    char *line = host_strndup(host, text + last, length - last);
    mzt_status status = line ? parse_settings(out, line, error) : error_memory(error, "parameters", length);
    host_free(host, line);
    /* Fewer than three settings: the line belongs to the prompt (the web UI's own rule). */
    bool settings = status >= 0 && out->count >= 3;
    if (status >= 0 && !settings) {
        parameters_destroy(out);
        out->host = host;
    }
    size_t body = settings ? (last ? last - 1 : 0) : strlen(text);
    if (status >= 0) status = split_prompts(out, text, body, error);
    if (status < 0)
        parameters_destroy(out);
    else
        drop_length(out);
    return status;
}

/* ---------------------------------------------------------------------------------------------------
 * formatting -- */

/* A growing text. */
typedef struct text_buffer {
    const base_host *host;
    char *text;
    size_t length, capacity;
    bool failed;
} text_buffer;

static void append(text_buffer *b, const char *text) {
    size_t size = strlen(text);
    if (b->failed) return;
    if (b->capacity - b->length <= size) {
        size_t capacity = 2 * (b->length + size) + 256;
        char *grown = capacity > size ? host_realloc(b->host, b->text, capacity, 1) : NULL;
        if (!grown) {
            b->failed = true;
            return;
        }
        b->text = grown;
        b->capacity = capacity;
    }
    memcpy(b->text + b->length, text, size + 1);
    b->length += size;
}

static void append_value(text_buffer *b, const char *value) {
    bool plain =
        *value && !strpbrk(value, ",:\"\n\r\t\\") && *value != ' ' && value[strlen(value) - 1] != ' ';
    if (plain) {
        append(b, value);
        return;
    }
    json_writer w = json_writer_make(b->host);
    char *quoted;
    json_write_string(&w, NULL, value);
    if (json_writer_finish(&w, &quoted, NULL, NULL) < 0) {
        b->failed = true;
        return;
    }
    append(b, quoted);
    host_free(b->host, quoted);
}

static void append_pair(text_buffer *b, const char *key, const char *value, bool first) {
    append(b, first ? "" : ", ");
    append(b, key);
    append(b, ": ");
    append_value(b, value);
}

mzt_status parameters_format(const parameters *p, char **text, mzt_error *error) {
    text_buffer b = {.host = p->host};
    append(&b, p->prompt);
    if (p->negative[0]) {
        append(&b, p->prompt[0] ? "\n" : "");
        append(&b, negative_label);
        append(&b, " ");
        append(&b, p->negative);
    }
    if (b.length && p->count) append(&b, "\n");
    for (uint32_t i = 0; i < p->count; i++)
        append_pair(&b, p->pairs[i].key, p->pairs[i].value, i == 0);
    if (find_negative(p->prompt)) {
        char length[32];
        snprintf(length, sizeof length, "%llu", (unsigned long long)strlen(p->prompt));
        append_pair(&b, length_key, length, p->count == 0);
    }
    if (b.failed) {
        host_free(p->host, b.text);
        return error_memory(error, "parameters", b.length);
    }
    *text = b.text;
    return MZT_OK;
}
