/* Reading suites of prompts; see suite.h. */
#include "score/suite.h"

#include <string.h>

enum { PROMPTS_LIMIT = 100000 };

/* A member that may be missing: NULL then. */
static mzt_status optional(json_value root, const char *key, const char **out, mzt_error *error) {
    TRY(json_get_string(root, key, "", out, error));
    if ((*out)[0] == '\0') *out = NULL;
    return MZT_OK;
}

mzt_status score_prompt_read(json_value v, score_prompt *p, mzt_error *error) {
    const char *name;
    TRY(json_as_kind(v, JSON_OBJECT, error));
    TRY(json_require_string(v, "prompt", &p->text, error));
    TRY(optional(v, "concept", &p->concept, error));
    TRY(optional(v, "words", &p->words, error));
    TRY(optional(v, "style", &p->style, error));
    TRY(optional(v, "colour", &name, error));
    p->colour = name ? colour_find(name, strlen(name)) : COLOUR_NONE;
    if (name && p->colour == COLOUR_NONE)
        return json_error(v, error, MZT_ERROR_INVALID,
                          "colour \"%.40s\" of prompt \"%.60s\" is none of the basic terms", name, p->text);
    if (p->concept && p->words)
        return json_error(v, error, MZT_ERROR_INVALID,
                          "prompt \"%.60s\" has a concept and words: expected one of them", p->text);
    return MZT_OK;
}

static mzt_status read_suite(const base_host *host, json_value v, score_suite *suite, mzt_error *error) {
    json_value list;
    int64_t seeds;
    suite->name = json_key(v);
    TRY(json_as_kind(v, JSON_OBJECT, error));
    TRY(json_get_int(v, "seeds", 1, 64, 2, &seeds, error));
    suite->seeds = (uint32_t)seeds;
    TRY(json_get_array(v, "prompts", &list, error));
    const uint32_t count = json_count(list);
    if (count == 0 || count > PROMPTS_LIMIT)
        return json_error(v, error, MZT_ERROR_INVALID, "suite \"%.40s\" has %u prompts, expected 1 to %d",
                          suite->name, (unsigned)count, PROMPTS_LIMIT);
    suite->prompts = host_calloc(host, count, sizeof *suite->prompts);
    if (!suite->prompts) return error_memory(error, "prompts", count * sizeof *suite->prompts);
    for (json_value p = json_first(list); p.item; p = json_next(p))
        TRY(score_prompt_read(p, &suite->prompts[suite->count++], error));
    return MZT_OK;
}

static mzt_status read_all(score_suites *s, json_value root, mzt_error *error) {
    TRY(json_as_kind(root, JSON_OBJECT, error));
    const json_value suites = json_get(root, "suites"), styles = json_get(root, "styles");
    if (!json_given(suites)) return json_error(root, error, MZT_ERROR_INVALID, "no \"suites\"");
    TRY(json_as_kind(suites, JSON_OBJECT, error));
    s->suites = host_calloc(s->host, json_count(suites) + 1, sizeof *s->suites);
    if (!s->suites) return error_memory(error, "suites", 0);
    for (json_value v = json_first(suites); v.item; v = json_next(v))
        TRY(read_suite(s->host, v, &s->suites[s->count++], error));
    if (!json_given(styles)) return MZT_OK;
    TRY(json_as_kind(styles, JSON_OBJECT, error));
    s->styles = host_calloc(s->host, json_count(styles) + 1, sizeof *s->styles);
    if (!s->styles) return error_memory(error, "styles", 0);
    for (json_value v = json_first(styles); v.item; v = json_next(v)) {
        s->styles[s->style_count].word = json_key(v);
        TRY(json_as_string(v, &s->styles[s->style_count++].style, error));
    }
    return MZT_OK;
}

mzt_status score_suites_read(const base_host *host, const char *path, score_suites **out, mzt_error *error) {
    *out = NULL;
    score_suites *s = host_calloc(host, 1, sizeof *s);
    if (!s) return error_memory(error, path, sizeof *s);
    s->host = host;
    mzt_status status = json_read(host, path, &s->doc, error);
    if (status >= 0) status = read_all(s, json_root(s->doc), error);
    if (status < 0)
        score_suites_free(s);
    else
        *out = s;
    return status;
}

void score_suites_free(score_suites *s) {
    if (!s) return;
    for (uint32_t i = 0; s->suites && i < s->count; i++)
        host_free(s->host, s->suites[i].prompts);
    host_free(s->host, s->suites);
    host_free(s->host, s->styles);
    json_destroy(s->doc);
    host_free(s->host, s);
}

const char *score_suites_style_word(const void *suites, const char *style) {
    const score_suites *s = suites;
    for (uint32_t i = 0; i < s->style_count; i++)
        if (strcmp(s->styles[i].style, style) == 0) return s->styles[i].word;
    return style;
}
