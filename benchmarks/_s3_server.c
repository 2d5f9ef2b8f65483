/* An S3 service for measuring clients: accepts any signature, keeps nothing.
 *
 *   cc -O2 -o s3_server _s3_*.c && ./s3_server [PORT [CONTENT [SIZE=MD5...]]]
 *
 * Prints its port. One thread, epoll, HTTP/1.1. Bodies of PUT are dropped in the kernel; GET
 * sends the file CONTENT from its beginning, as often as it takes, by sendfile; zeros without
 * one. A key that ends in "-N" has N bytes, any other 1024, or there is none in a tree. Full objects come with their CRC32C
 * when it is asked for; their ETag is the MD5 told for the size, else one of a multipart upload.
 * What is put is answered with the checksum it came with, and is taken to be such content.
 * Bucket "tree" lists 20 000 keys of 8 KiB, "empty" none, any other 100 000 keys. GET /_stats
 * tells, as JSON, requests answered, bytes of bodies received and CPU seconds used.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "_s3_server.h"

uint64_t requests, received;

#define TAIL 512 /* bytes of a body that hold its trailer */

static int poll_fd;

/* --- requests ------------------------------------------------------------------------------ */

const char *parameter(const char *target, const char *name) {
    const char *at = strchr(target, '?');
    size_t length = strlen(name);
    while (at) {
        at++;
        if (!strncmp(at, name, length) && (!at[length] || strchr("=&", at[length])))
            return at[length] == '=' ? at + length + 1 : at + length;
        at = strchr(at, '&');
    }
    return NULL;
}

/* A field's value in a head that ends in an empty line; NULL if there is none. */
static const char *field(const char *head, const char *end, const char *name) {
    size_t length = strlen(name);
    const char *line = memchr(head, '\n', end - head);
    while (line && ++line < end) {
        if (!strncasecmp(line, name, length) && line[length] == ':') {
            line += length + 1;
            while (*line == ' ') line++;
            return line;
        }
        line = memchr(line, '\n', end - line);
    }
    return NULL;
}

/* Content-MD5 as an ETag has it. */
static void note_md5(struct connection *c, const char *value) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int have = 0, n = 0;
    for (c->md5[0] = 0; value && n < 32 && strchr(digits, *value); value++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *value) - digits);
        for (have += 6; have >= 8 && n < 32; have -= 8, n += 2)
            sprintf(c->md5 + n, "%02x", bits >> (have - 8) & 0xff);
    }
}

/* --- answers ------------------------------------------------------------------------------- */

static const char *date(void) {
    static time_t known;
    static char text[40];
    time_t now = time(NULL);
    if (now != known) {
        struct tm tm;
        known = now;
        gmtime_r(&now, &tm);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return text;
}

void head(struct connection *c, int status, uint64_t length, const char *more, ...) {
    va_list arguments;
    int n = snprintf(c->output, OUTPUT,
        "HTTP/1.1 %d %s\r\nx-amz-id-2: Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==\r\n"
        "x-amz-request-id: %016" PRIX64 "\r\nDate: %s\r\n", status, status == 206 ? "Partial Content"
        : status == 204 ? "No Content" : status == 404 ? "Not Found" : status == 416 ? "Range Not Satisfiable" : "OK",
        requests, date());
    va_start(arguments, more);
    n += vsnprintf(c->output + n, OUTPUT - n, more, arguments);
    va_end(arguments);
    if (status != 204)
        n += snprintf(c->output + n, OUTPUT - n, "Content-Length: %" PRIu64 "\r\n", length);
    n += snprintf(c->output + n, OUTPUT - n, "Server: AmazonS3\r\n\r\n");
    c->out_length = n;
}

/* --- connections ------------------------------------------------------------------------- */

static void begin_body(struct connection *c) {
    c->got = 0;
    c->state = DROP;
    if (!strcmp(c->method, "POST") && parameter(c->target, "delete")) {
        c->body = malloc(MAX_BODY + 1);
        if (!c->body) abort();
        c->state = KEEP;
    }
}

/* A head at the beginning of the input; 0 if it is not complete, -1 if it is none. */
static int read_head(struct connection *c) {
    char *from = c->input + c->used;
    char *end = memmem(from, c->have - c->used, LITERAL("\r\n\r\n"));
    if (!end) return c->have - c->used == INPUT ? -1 : 0;
    if (sscanf(from, "%7s %4095s HTTP/1.1", c->method, c->target) != 2) return -1;
    const char *length = field(from, end, "content-length");
    const char *coding = field(from, end, "transfer-encoding");
    const char *range = field(from, end, "range");
    const char *expect = field(from, end, "expect");
    const char *connection = field(from, end, "connection");
    const char *decoded = field(from, end, "x-amz-decoded-content-length");
    c->head_only = !strcmp(c->method, "HEAD");
    c->trailer = field(from, end, "x-amz-trailer") != NULL;
    c->sum[0] = 0;
    note_checksum(c, from, end);
    note_md5(c, field(from, end, "content-md5"));
    c->want_checksum = field(from, end, "x-amz-checksum-mode") != NULL;
    c->last = connection && !strncasecmp(connection, LITERAL("close"));
    c->ranged = range && !strncmp(range, LITERAL("bytes="));
    if (c->ranged) {
        char *next;
        range += 6;
        c->range_start = *range == '-' ? UINT64_MAX : strtoull(range, &next, 10);
        if (*range == '-') c->range_stop = strtoull(range + 1, NULL, 10);
        else c->range_stop = next[1] >= '0' && next[1] <= '9' ? strtoull(next + 1, NULL, 10) + 1
                                                              : UINT64_MAX;
    }
    c->left = length ? strtoull(length, NULL, 10) : 0;
    c->decoded = decoded ? strtoull(decoded, NULL, 10) : c->left;
    c->used = end + 4 - c->input;
    if (expect && send(c->fd, LITERAL("HTTP/1.1 100 Continue\r\n\r\n"), MSG_NOSIGNAL) < 0) return -1;
    if (coding && !strncasecmp(coding, LITERAL("chunked"))) {
        begin_body(c);
        free(c->body);
        c->body = NULL;
        c->state = CHUNK_SIZE;
    } else {
        begin_body(c);
        if (c->left > MAX_BODY && c->state == KEEP) return -1;
    }
    return 1;
}

/* Go on with what is in the input; 1 if something came of it, 0 to read more, -1 to give up. */
static int advance(struct connection *c) {
    size_t have = c->have - c->used;
    char *from = c->input + c->used, *end;
    size_t take;
    switch (c->state) {
    case HEAD:
        return have ? read_head(c) : 0;
    case DROP:
    case KEEP:
    case CHUNK_DATA:
        take = c->state == DROP && c->trailer && c->left > TAIL ? c->left - TAIL : c->left;
        if (c->state == DROP && c->trailer && c->left <= TAIL) {
            if (have < c->left) return 0;
            note_checksum(c, from, from + c->left);
        }
        if (have < take) take = have;
        if (c->state == KEEP) memcpy(c->body + c->got, from, take);
        c->used += take;
        c->got += take;
        c->left -= take;
        received += take;
        if (c->left) return 0;
        if (c->state == CHUNK_DATA) c->state = CHUNK_END;
        else answer(c);
        return 1;
    case CHUNK_SIZE:
    case CHUNK_END:
    case CHUNK_TRAILER:
        end = memmem(from, have, LITERAL("\r\n"));
        if (!end) return 0;
        c->used = end + 2 - c->input;
        if (c->state == CHUNK_SIZE) {
            c->left = strtoull(from, NULL, 16);
            c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
        } else if (c->state == CHUNK_END) c->state = CHUNK_SIZE;
        else if (end == from) answer(c);
        return 1;
    case SEND:
        break;
    }
    return 0;
}

/* 1 if all was sent, 0 if there is no room now, -1 if the peer has gone. */
static int send_answer(struct connection *c) {
    ssize_t n;
    int body = !c->head_only;
    while (c->out_sent < c->out_length) {
        int more = body && (c->memory_left || c->file_left) ? MSG_MORE : 0;
        n = send(c->fd, c->output + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL | more);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->out_sent += n;
    }
    while (body && c->memory_left) {
        n = send(c->fd, c->memory, c->memory_left, MSG_NOSIGNAL | (c->footer_left ? MSG_MORE : 0));
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->memory += n;
        c->memory_left -= n;
    }
    while (body && c->footer_left) {
        n = send(c->fd, c->footer, c->footer_left, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->footer += n;
        c->footer_left -= n;
    }
    while (c->file_left) {
        off_t offset = c->file_at % block_size;
        uint64_t most = block_size - offset;
        n = sendfile(c->fd, block_file, &offset, c->file_left < most ? c->file_left : most);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->file_at += n;
        c->file_left -= n;
    }
    free(c->owned);
    c->owned = NULL;
    c->memory_left = c->footer_left = 0;
    c->state = HEAD;
    return c->last ? -1 : 1;
}

static int receive(struct connection *c) {
    ssize_t n;
    uint64_t drop = c->state == DROP || c->state == CHUNK_DATA ? c->left : 0;
    if (c->trailer) drop = drop > TAIL ? drop - TAIL : 0;
    if (c->used == c->have) c->used = c->have = 0;
    if (drop && !c->have) {
        /* MSG_TRUNC drops the bytes in the kernel (tcp(7)). */
        n = recv(c->fd, NULL, drop < (8 << 20) ? drop : (8 << 20), MSG_TRUNC);
        if (n > 0) {
            c->left -= n;
            c->got += n;
            received += n;
            return 1;
        }
    } else {
        if (c->used) {
            memmove(c->input, c->input + c->used, c->have - c->used);
            c->have -= c->used;
            c->used = 0;
        }
        n = recv(c->fd, c->input + c->have, INPUT - c->have, 0);
        if (n > 0) c->have += n;
    }
    return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

static void serve(struct connection *c) {
    int result = 1;
    while (result > 0) {
        if (c->state == SEND) {
            result = send_answer(c);
            int wait = result == 0;
            if (wait != c->writing) {
                struct epoll_event event = {.events = wait ? EPOLLOUT : EPOLLIN, .data.ptr = c};
                c->writing = wait;
                epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
            }
        } else {
            result = advance(c);
            if (!result) result = receive(c);
        }
    }
    if (result < 0) {
        close(c->fd);
        free(c->owned);
        free(c->body);
        free(c->input);
        free(c);
    }
}

static void welcome(int listener) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c || !(c->input = malloc(INPUT + 1))) abort();
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

int main(int count, char **arguments) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(count > 1 ? atoi(arguments[1]) : 0),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof address;
    signal(SIGPIPE, SIG_IGN);
    prepare_content(count > 2 ? arguments[2] : NULL, count > 3 ? count - 3 : 0, arguments + 3);
    prepare_listings();
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024))
        return perror("listen"), 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(poll_fd, ready, 256, -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.ptr) serve(ready[i].data.ptr);
            else welcome(listener);
    }
}
