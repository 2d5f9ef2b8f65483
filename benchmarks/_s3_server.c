/* An S3 service for measuring clients: accepts any signature, keeps nothing.
 *
 *   cc -O2 -o s3_server _s3_server.c && ./s3_server [PORT]
 *
 * Prints its port. One thread, epoll, HTTP/1.1. Bodies of PUT are dropped in the kernel; GET
 * sends bytes of one value from a memory file. A key that ends in "-N" has N bytes, any other
 * 1024. Buckets list KEYS keys, in pages with real tokens. GET /_stats tells, as JSON, requests
 * answered and CPU seconds used.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEYS 100000
#define INPUT 65536
#define OUTPUT 4096
#define BLOCK (4 << 20)     /* bytes of the memory file */
#define MAX_BODY (16 << 20) /* of a bulk delete */
#define ETAG "\"0123456789abcdef0123456789abcdef\""
#define LITERAL(text) (text), sizeof(text) - 1

enum state { HEAD, DROP, KEEP, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, SEND };

struct connection {
    int fd;
    enum state state;
    int writing, last, head_only; /* waits for room; close afterwards; answer without body */
    char *input;
    size_t have, used;
    char method[8], target[4096];
    uint64_t left, got; /* of the request's body: to come, seen */
    char *body;         /* of a bulk delete */
    uint64_t range_start, range_stop;
    int ranged, want_checksum;
    char output[OUTPUT];
    size_t out_length, out_sent;
    const char *memory; /* answer's body: from memory, then freed if owned, or the file */
    char *owned;
    size_t memory_left;
    const char *footer;
    size_t footer_left;
    uint64_t file_left;
};

static uint64_t requests;
static int block_file, poll_fd;
static char *listing;
static size_t entry;

/* --- CRC32C, which answers to GET and HEAD carry when asked for -------------------------- */

static uint32_t crc_table[256];

static void crc_prepare(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
        crc_table[n] = c;
    }
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_zeros(uint32_t crc, uint64_t count) {
    uint64_t wide = crc;
    for (; count >= 8; count -= 8) wide = __builtin_ia32_crc32di(wide, 0);
    crc = (uint32_t)wide;
    while (count--) crc = crc_table[crc & 0xff] ^ (crc >> 8);
    return crc;
}
#else
static uint32_t crc_zeros(uint32_t crc, uint64_t count) {
    while (count--) crc = crc_table[crc & 0xff] ^ (crc >> 8);
    return crc;
}
#endif

/* CRC32C of `size` zero bytes in base64; the last size asked for is remembered. */
static const char *checksum(uint64_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static uint64_t known = UINT64_MAX;
    static char text[9];
    if (size == known) return text;
    uint32_t crc = ~crc_zeros(~0u, size);
    uint64_t bits = (uint64_t)crc << 16; /* 48 bits, the last 12 of them padding */
    for (int i = 0; i < 6; i++) text[i] = digits[bits >> (42 - 6 * i) & 63];
    memcpy(text + 6, "==", 3);
    known = size;
    return text;
}

/* --- the listing ------------------------------------------------------------------------- */

static void prepare_listing(void) {
    char one[512];
    for (int i = 0; i < KEYS; i++) {
        time_t when = 1700000000 + i * 7;
        struct tm tm;
        char date[32];
        gmtime_r(&when, &tm);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        int length = snprintf(one, sizeof one,
            "<Contents><Key>bench/object-%08d-1024</Key><LastModified>%s</LastModified>"
            "<ETag>&quot;%032x&quot;</ETag><Size>1024</Size><StorageClass>STANDARD</StorageClass>"
            "</Contents>", i, date, i);
        if (!listing) {
            entry = length;
            listing = malloc((size_t)KEYS * entry + 1);
            if (!listing) abort();
        }
        memcpy(listing + (size_t)i * entry, one, entry);
    }
}

/* --- requests ------------------------------------------------------------------------------ */

static const char *parameter(const char *target, const char *name) {
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

static uint64_t object_size(const char *target) {
    const char *end = strchr(target, '?');
    const char *at = end = end ? end : target + strlen(target);
    while (at > target && at[-1] >= '0' && at[-1] <= '9') at--;
    return at < end && at > target && at[-1] == '-' ? strtoull(at, NULL, 10) : 1024;
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

__attribute__((format(printf, 4, 5)))
static void head(struct connection *c, int status, uint64_t length, const char *more, ...) {
    va_list arguments;
    int n = snprintf(c->output, OUTPUT,
        "HTTP/1.1 %d %s\r\nx-amz-id-2: Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==\r\n"
        "x-amz-request-id: %016" PRIX64 "\r\nDate: %s\r\n", status, status == 206 ? "Partial Content"
        : status == 204 ? "No Content" : status == 416 ? "Range Not Satisfiable" : "OK",
        requests, date());
    va_start(arguments, more);
    n += vsnprintf(c->output + n, OUTPUT - n, more, arguments);
    va_end(arguments);
    if (status != 204)
        n += snprintf(c->output + n, OUTPUT - n, "Content-Length: %" PRIu64 "\r\n", length);
    n += snprintf(c->output + n, OUTPUT - n, "Server: AmazonS3\r\n\r\n");
    c->out_length = n;
}

static void document(struct connection *c, const char *xml) {
    size_t length = strlen(xml);
    head(c, 200, length, "Content-Type: application/xml\r\n");
    memcpy(c->output + c->out_length, xml, length);
    c->out_length += length;
}

static void object(struct connection *c) {
    uint64_t size = object_size(c->target), start = 0, stop = size;
    char range[96] = "", sum[96] = "";
    if (c->ranged) {
        if (c->range_start == UINT64_MAX) start = c->range_stop < size ? size - c->range_stop : 0;
        else start = c->range_start, stop = c->range_stop < size ? c->range_stop : size;
        if (start >= size) {
            head(c, 416, 0, "Content-Range: bytes */%" PRIu64 "\r\n", size);
            return;
        }
        snprintf(range, sizeof range,
            "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", start, stop - 1, size);
    } else if (c->want_checksum)
        snprintf(sum, sizeof sum,
            "x-amz-checksum-crc32c: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", checksum(size));
    head(c, c->ranged ? 206 : 200, stop - start,
        "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nETag: " ETAG "\r\n%s%s"
        "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\n", range, sum);
    if (!c->head_only) c->file_left = stop - start;
}

static void list(struct connection *c) {
    const char *token = parameter(c->target, "continuation-token");
    const char *most = parameter(c->target, "max-keys");
    long start = token ? strtol(token, NULL, 10) : 0, count = most ? strtol(most, NULL, 10) : 1000;
    char next[160] = "", before[1024];
    if (start < 0 || start > KEYS) start = KEYS;
    if (count < 0 || count > 1000) count = 1000;
    if (count > KEYS - start) count = KEYS - start;
    if (start + count < KEYS)
        snprintf(next, sizeof next,
            "<NextContinuationToken>%08ldAbCdEf0123456789</NextContinuationToken>", start + count);
    int n = snprintf(before, sizeof before,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult"
        " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bench</Name><Prefix></Prefix>%s"
        "<KeyCount>%ld</KeyCount><MaxKeys>1000</MaxKeys>%s<IsTruncated>%s</IsTruncated>", next,
        count, parameter(c->target, "encoding-type") ? "<EncodingType>url</EncodingType>" : "",
        *next ? "true" : "false");
    c->footer = "</ListBucketResult>";
    c->footer_left = strlen(c->footer);
    c->memory = listing + (size_t)start * entry;
    c->memory_left = (size_t)count * entry;
    head(c, 200, n + c->memory_left + c->footer_left, "Content-Type: application/xml\r\n");
    memcpy(c->output + c->out_length, before, n);
    c->out_length += n;
}

static void deleted(struct connection *c) {
    static const char open[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DeleteResult"
                               " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    char *to = c->owned = malloc(2 * c->got + sizeof open + 64);
    if (!to) abort();
    c->body[c->got] = 0;
    to = stpcpy(to, open);
    int quiet = strstr(c->body, "<Quiet>true</Quiet>") != NULL;
    for (const char *at = c->body; !quiet && (at = strstr(at, "<Key>"));) {
        const char *end = strstr(at, "</Key>");
        if (!end) break;
        to = stpcpy(to, "<Deleted>");
        to = mempcpy(to, at, end + 6 - at);
        to = stpcpy(to, "</Deleted>");
        at = end;
    }
    to = stpcpy(to, "</DeleteResult>");
    free(c->body);
    c->body = NULL;
    c->memory = c->owned;
    c->memory_left = to - c->owned;
    head(c, 200, c->memory_left, "Content-Type: application/xml\r\n");
}

static void statistics(struct connection *c) {
    struct rusage used;
    char text[128];
    getrusage(RUSAGE_SELF, &used);
    int n = snprintf(text, sizeof text, "{\"requests\": %" PRIu64 ", \"cpu\": %.6f}", requests - 1,
        used.ru_utime.tv_sec + used.ru_stime.tv_sec
            + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    requests--;
    head(c, 200, n, "Content-Type: application/json\r\n");
    memcpy(c->output + c->out_length, text, n);
    c->out_length += n;
}

/* The request is there as a whole. */
static void answer(struct connection *c) {
    const char *method = c->method, *query = strchr(c->target, '?');
    size_t path = query ? (size_t)(query - c->target) : strlen(c->target);
    const char *slash = memchr(c->target + 1, '/', path - 1);
    int in_bucket = slash && slash + 1 < c->target + path;
    requests++;
    c->state = SEND;
    c->out_sent = 0;
    if (!strcmp(c->target, "/_stats")) statistics(c);
    else if (!strcmp(method, "POST") && parameter(c->target, "delete")) deleted(c);
    else if (!strcmp(method, "POST") && parameter(c->target, "uploads"))
        document(c, "<InitiateMultipartUploadResult><Bucket>bench</Bucket><Key>k</Key>"
                    "<UploadId>0123456789abcdef</UploadId></InitiateMultipartUploadResult>");
    else if (!strcmp(method, "POST"))
        document(c, "<CompleteMultipartUploadResult><Location>/bench/k</Location>"
                    "<Bucket>bench</Bucket><Key>k</Key><ETag>" ETAG "</ETag>"
                    "</CompleteMultipartUploadResult>");
    else if (!strcmp(method, "PUT")) head(c, 200, 0, "ETag: " ETAG "\r\n");
    else if (!strcmp(method, "DELETE")) head(c, 204, 0, "%s", "");
    else if (in_bucket) object(c);
    else if (!strcmp(method, "GET") && parameter(c->target, "list-type")) list(c);
    else if (!strcmp(method, "GET"))
        document(c, "<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>");
    else head(c, 200, 0, "x-amz-bucket-region: us-east-1\r\n");
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
    c->head_only = !strcmp(c->method, "HEAD");
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
        take = have < c->left ? have : c->left;
        if (c->state == KEEP) memcpy(c->body + c->got, from, take);
        c->used += take;
        c->got += take;
        c->left -= take;
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
        off_t offset = 0;
        n = sendfile(c->fd, block_file, &offset, c->file_left < BLOCK ? c->file_left : BLOCK);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
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
    if (c->used == c->have) c->used = c->have = 0;
    if ((c->state == DROP || c->state == CHUNK_DATA) && !c->have) {
        /* MSG_TRUNC drops the bytes in the kernel (tcp(7)). */
        n = recv(c->fd, NULL, c->left < (8 << 20) ? c->left : (8 << 20), MSG_TRUNC);
        if (n > 0) {
            c->left -= n;
            c->got += n;
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
    crc_prepare();
    prepare_listing();
    block_file = memfd_create("block", MFD_CLOEXEC);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (block_file < 0 || posix_fallocate(block_file, 0, BLOCK)) return perror("memfd"), 1;
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
