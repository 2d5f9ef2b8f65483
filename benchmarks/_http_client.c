/* An HTTP/1.1 client for measuring servers: it costs little, and checks every answer.
 *
 *   cc -O2 -o http_client _http_client.c && ./http_client PORT CONNECTIONS COUNT < REQUESTS
 *
 * REQUESTS is a sequence of `STATUS LENGTH HEAD_ONLY SIZE\n`, each followed by SIZE bytes to
 * send: the status its answer must have, the bytes of body (-1: any), and whether the answer
 * only tells a length. They are sent in turn, COUNT in all, one at a time on each connection of
 * 127.0.0.1. Bodies are dropped in the kernel. Prints JSON: requests, bytes of bodies, seconds,
 * CPU seconds of its own, and the median and 99th percentile of the latency in microseconds.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD 16384
#define DROP (1 << 20)

struct request {
    int status, head_only;
    long length, size;
    char *bytes;
};

struct connection {
    int fd, in_body, last, writing;
    struct request *request;
    long sent, left;
    size_t have;
    double began;
    char head[HEAD + 1];
};

static struct request *requests;
static long request_count, to_send, sent_count, answered, total_bytes;
static float *latencies;
static int epoll_fd, port;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void read_requests(void) {
    struct request one;
    long room = 0;
    while (scanf("%d %ld %d %ld", &one.status, &one.length, &one.head_only, &one.size) == 4) {
        if (getchar() != '\n' || !(one.bytes = malloc((size_t)one.size)))
            fail("requests", "malformed");
        if (fread(one.bytes, 1, (size_t)one.size, stdin) != (size_t)one.size)
            fail("requests", "cut off");
        if (request_count == room) {
            room = room ? room * 2 : 1024;
            if (!(requests = realloc(requests, (size_t)room * sizeof one)))
                fail("requests", "out of memory");
        }
        requests[request_count++] = one;
    }
    if (!request_count)
        fail("requests", "none");
}

static void watch(struct connection *connection, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, operation, connection->fd, &event))
        fail("epoll_ctl", strerror(errno));
}

static void open_connection(struct connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address))
        fail("connect", strerror(errno));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->writing = 0;
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
}

static void push(struct connection *connection) {
    struct request *request = connection->request;
    while (connection->sent < request->size) {
        ssize_t put = send(connection->fd, request->bytes + connection->sent,
                           (size_t)(request->size - connection->sent), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) {
            if (!connection->writing)
                watch(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            connection->writing = 1;
            return;
        }
        if (put < 0)
            return; /* the answer, or its absence, will tell */
        connection->sent += put;
    }
    if (connection->writing)
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    connection->writing = 0;
}

static void next_request(struct connection *connection) {
    if (sent_count == to_send) {
        close(connection->fd);
        connection->fd = -1;
        return;
    }
    connection->request = &requests[sent_count++ % request_count];
    connection->sent = 0;
    connection->have = 0;
    connection->in_body = 0;
    connection->began = now();
    push(connection);
}

static void finish(struct connection *connection) {
    latencies[answered++] = (float)(now() - connection->began);
    if (connection->last) {
        close(connection->fd);
        open_connection(connection);
    }
    next_request(connection);
}

/* Takes what has come of the head; whether it is complete. */
static int take_head(struct connection *connection) {
    char *head = connection->head;
    ssize_t got = recv(connection->fd, head + connection->have, HEAD - connection->have,
                       MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        fail("answer", "the connection ended early");
    connection->have += (size_t)got;
    head[connection->have] = 0;
    char *end = memmem(head, connection->have, "\r\n\r\n", 4);
    if (!end) {
        if (connection->have == HEAD)
            fail("answer", "endless head");
        return 0;
    }
    end += 4;
    struct request *request = connection->request;
    long length = -1;
    connection->last = 0;
    for (char *line = strstr(head, "\r\n") + 2; line < end - 2; line = strstr(line, "\r\n") + 2) {
        if (!strncasecmp(line, "content-length:", 15))
            length = atol(line + 15);
        if (!strncasecmp(line, "connection: close", 17))
            connection->last = 1;
    }
    if (atoi(head + 9) != request->status ||
        (request->length >= 0 && length != request->length) || length < 0)
        fail("wrong answer", head);
    if (request->head_only)
        length = 0;
    connection->left = length - (long)((size_t)connection->have - (size_t)(end - head));
    total_bytes += length;
    return 1;
}

static void progress(struct connection *connection) {
    if (!connection->in_body) {
        if (!take_head(connection))
            return;
        connection->in_body = 1;
    }
    while (connection->left > 0) {
        size_t most = connection->left < DROP ? (size_t)connection->left : DROP;
        ssize_t got = recv(connection->fd, NULL, most, MSG_TRUNC | MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            fail("answer", "the body ended early");
        connection->left -= got;
    }
    finish(connection);
}

static int compare(const void *left, const void *right) {
    float one = *(const float *)left, other = *(const float *)right;
    return (one > other) - (one < other);
}

int main(int argc, char **argv) {
    if (argc != 4)
        fail("usage", "http_client PORT CONNECTIONS COUNT < REQUESTS");
    port = atoi(argv[1]);
    int count = atoi(argv[2]);
    to_send = atol(argv[3]);
    read_requests();
    latencies = malloc(sizeof *latencies * (size_t)to_send);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    epoll_fd = epoll_create1(0);
    if (!latencies || !connections || epoll_fd < 0)
        fail("start", strerror(errno));
    for (int i = 0; i < count; i++)
        open_connection(&connections[i]);
    double began = now();
    for (int i = 0; i < count; i++)
        next_request(&connections[i]);
    struct epoll_event events[64];
    while (answered < to_send) {
        int found = epoll_wait(epoll_fd, events, 64, 60000);
        if (found == 0)
            fail("answer", "none within 60 s");
        for (int i = 0; i < found; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->fd < 0)
                continue;
            if (events[i].events & EPOLLOUT)
                push(connection);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                progress(connection);
        }
    }
    double seconds = now() - began;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    qsort(latencies, (size_t)answered, sizeof *latencies, compare);
    printf("{\"requests\": %ld, \"bytes\": %ld, \"seconds\": %.6f, \"cpu\": %.6f, "
           "\"p50\": %.1f, \"p99\": %.1f}\n",
           answered, total_bytes, seconds, cpu, latencies[answered / 2] * 1e6,
           latencies[answered * 99 / 100] * 1e6);
    return 0;
}
