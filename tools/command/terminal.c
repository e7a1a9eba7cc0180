/* Pictures in a terminal: what it can show, sizes and cursor; see terminal.h. */
#define _DEFAULT_SOURCE
#include "terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Cells that a picture takes at most, and where the terminal does not say how large it and its cells are. */
enum {
    MAX_COLUMNS = 72,
    MAX_ROWS = 36,
    SIXEL_SIDE = 384, /* pixels; its text is long */
    USUAL_COLUMNS = 80,
    USUAL_ROWS = 24,
    USUAL_WIDTH = 10,
    USUAL_HEIGHT = 20
};

mzt_status terminal_kind_parse(const char *text, terminal_kind *kind, mzt_error *error) {
    static const char *const names[] = {"blocks", "kitty", "sixel"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *kind = (terminal_kind)(TERMINAL_BLOCKS + i);
        return MZT_OK;
    }
    return error_set(error, MZT_ERROR_INVALID,
                     "unknown kind of preview '%s': expected blocks, kitty or sixel", text);
}

static bool variable_has(const char *name, const char *part) {
    const char *value = getenv(name);
    return value && strstr(value, part);
}

/* Asks the terminal for its primary device attributes: "ESC [ ? 62 ; 4 ; 22 c", where 4 stands for sixel. No
 * answer within a quarter of a second is a no. */
static bool answers_sixel(void) {
    char answer[128];
    size_t used = 0;
    struct termios before, raw;
    bool sixel = false;
    int file = open("/dev/tty", O_RDWR | O_NOCTTY);
    if (file < 0) return false;
    /* In the background a question would stop the program. */
    if (tcgetpgrp(file) == getpgrp() && tcgetattr(file, &before) == 0) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        tcsetattr(file, TCSANOW, &raw);
        struct pollfd ready = {.fd = file, .events = POLLIN};
        if (write(file, "\033[c", 3) == 3)
            while (used < sizeof answer - 1 && !memchr(answer, 'c', used) && poll(&ready, 1, 250) > 0) {
                ssize_t got = read(file, answer + used, sizeof answer - 1 - used);
                if (got <= 0) break;
                used += (size_t)got;
            }
        tcsetattr(file, TCSANOW, &before);
    }
    close(file);
    answer[used] = '\0';
    for (char *at = strchr(answer, '?'); at; at = strchr(at, ';')) {
        at++;
        sixel = sixel || (at[0] == '4' && (at[1] == ';' || at[1] == 'c'));
    }
    return sixel;
}

static terminal_kind find_kind(void) {
    bool multiplexed = getenv("TMUX") || variable_has("TERM", "screen") || variable_has("TERM", "tmux");
    bool kitty = getenv("KITTY_WINDOW_ID") || variable_has("TERM", "kitty") ||
                 variable_has("TERM", "ghostty") || variable_has("TERM_PROGRAM", "WezTerm");
    if (kitty && !multiplexed) return TERMINAL_KITTY;
    return answers_sixel() ? TERMINAL_SIXEL : TERMINAL_BLOCKS;
}

terminal terminal_open(const base_host *host, FILE *out, terminal_kind kind) {
    terminal t = {.host = host,
                  .out = out,
                  .kind = kind,
                  .columns = USUAL_COLUMNS,
                  .rows = USUAL_ROWS,
                  .cell_width = USUAL_WIDTH,
                  .cell_height = USUAL_HEIGHT};
    struct winsize size;
    bool shown = isatty(fileno(out)) && !variable_has("TERM", "dumb");
    if (shown && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
        t.columns = size.ws_col;
        t.rows = size.ws_row;
        if (size.ws_xpixel && size.ws_ypixel) {
            t.cell_width = ceil_div(size.ws_xpixel, size.ws_col);
            t.cell_height = ceil_div(size.ws_ypixel, size.ws_row);
        }
    }
    if (kind == TERMINAL_NONE && shown) t.kind = find_kind();
    return t;
}

static uint32_t smaller(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* The size at which a picture fits into width x height pixels: small ones grow by a whole factor. */
static void fit(const image *picture, uint32_t *width, uint32_t *height) {
    uint32_t factor = smaller(*width / picture->width, *height / picture->height);
    uint64_t w = *width, h = (uint64_t)picture->height * *width / picture->width;
    if (factor > 0) {
        w = (uint64_t)factor * picture->width;
        h = (uint64_t)factor * picture->height;
    } else if (h > *height) {
        h = *height;
        w = (uint64_t)picture->width * *height / picture->height;
    }
    *width = w ? (uint32_t)w : 1;
    *height = h ? (uint32_t)h : 1;
}

/* Writes `picture`, which is to take width x height pixels of `rows` rows of cells. */
static mzt_status write_picture(terminal *t, const image *picture, uint32_t width, uint32_t rows,
                                mzt_error *error) {
    mzt_status status = MZT_OK;
    if (t->drawn) fprintf(t->out, "\r\033[%uA%s", t->drawn, t->drawn == rows ? "" : "\033[J");
    t->drawn = rows;
    if (t->kind == TERMINAL_BLOCKS) {
        terminal_blocks(t->out, picture);
    } else { /* room is made first, so that nothing scrolls while the picture is drawn */
        for (uint32_t i = 0; i < rows; i++)
            fputs("\033[K\n", t->out);
        fprintf(t->out, "\033[%uA\0337", rows);
        if (t->kind == TERMINAL_KITTY)
            terminal_kitty(t->out, picture, ceil_div(width, t->cell_width), rows);
        else
            status = terminal_sixel(t->host, t->out, picture, error);
        fprintf(t->out, "\0338\033[%uB\r", rows);
    }
    fflush(t->out);
    return status;
}

mzt_status terminal_draw(terminal *t, const image *picture, mzt_error *error) {
    if (t->kind == TERMINAL_NONE) return MZT_OK;
    const bool blocks = t->kind == TERMINAL_BLOCKS;
    const uint32_t cell_width = blocks ? 1 : t->cell_width, cell_height = blocks ? 2 : t->cell_height;
    uint32_t width = smaller(t->columns > 1 ? t->columns - 1 : 1, MAX_COLUMNS) * cell_width;
    uint32_t height = smaller(t->rows > 4 ? t->rows - 3 : 1, MAX_ROWS) * cell_height;
    if (t->kind == TERMINAL_SIXEL) width = smaller(width, SIXEL_SIDE), height = smaller(height, SIXEL_SIDE);
    fit(picture, &width, &height);
    image flat = {0}, fitted = {0};
    bool as_it_is = t->kind == TERMINAL_KITTY && width > picture->width; /* which enlarges by itself */
    mzt_status status = image_over_checkerboard(t->host, picture, picture->width / 16 + 1, &flat, error);
    if (status >= 0 && !as_it_is)
        status = image_resize(t->host, &flat, width, height, IMAGE_AREA, &fitted, error);
    if (status >= 0)
        status = write_picture(t, as_it_is ? &flat : &fitted, width, ceil_div(height, cell_height), error);
    image_free(t->host, &flat);
    image_free(t->host, &fitted);
    return status;
}
