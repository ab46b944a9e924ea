#define _GNU_SOURCE /* accept4, struct ucred, close_range */
#include "cgpiod.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NAME_SIZE = 128, LINES = 64, PERIOD_MS = 2000 };

/* What the keepers of versions up to 0.9 send and expect: the first two fields. */
#define OLD_LENGTH offsetof(struct message, value)

/* A request that waited for longer is not carried out: its sender has given up and may have set the line itself. */
static const int64_t patience_ns = 2000000000;

/* One message each way; a descriptor travels beside it (SCM_RIGHTS, unix(7)). */
struct message {
    char operation; /* 'K' keep, 'G' give, 'S' set, 'R' release; in the answer 'y' or 'n' */
    char name[NAME_SIZE];
    bool value;       /* of 'S' */
    int64_t sent_ns;  /* on CLOCK_BOOTTIME */
    int32_t error;    /* of the answer 'n' */
    cgpiod_changes changes;
};

static int64_t boot_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int address(const char *path, struct sockaddr_un *out, socklen_t *size) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof out->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(out->sun_path, path);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    return 0;
}

static int send_message(int socket, const struct message *message, size_t length, int fd) {
    struct iovec part = {.iov_base = (void *)message, .iov_len = length};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *beside = CMSG_FIRSTHDR(&header);
        beside->cmsg_level = SOL_SOCKET;
        beside->cmsg_type = SCM_RIGHTS;
        beside->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(beside), &fd, sizeof fd);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)length ? 0 : -1;
}

/* 0, or -1; *fd is -1 when none came. */
static int receive_message(int socket, struct message *message, size_t length, int *fd) {
    struct iovec part = {.iov_base = message, .iov_len = length};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t received;
    *fd = -1;
    do received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -1;
    for (struct cmsghdr *beside = CMSG_FIRSTHDR(&header); beside; beside = CMSG_NXTHDR(&header, beside))
        if (beside->cmsg_level == SOL_SOCKET && beside->cmsg_type == SCM_RIGHTS)
            memcpy(fd, CMSG_DATA(beside), sizeof *fd);
    if (received == (ssize_t)length && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        message->name[NAME_SIZE - 1] = 0;
        return 0;
    }
    if (*fd >= 0) close(*fd);
    *fd = -1;
    errno = EPROTO;
    return -1;
}

/* The same user, or root: a stranger must neither take a line nor plant one. */
static int is_trusted(int socket) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return 0;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void limit_time(int socket) {
    struct timeval limit = {.tv_sec = 2};
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

/* The keeper itself. It was forked from a process with threads, so only what signal-safety(7) allows is called. */
static struct {
    char name[NAME_SIZE];
    int fd;
    cgpiod_changes changes;
} lines[LINES];
static int kept;

static int find_line(const char *name) {
    for (int i = 0; i < kept; i++)
        if (strcmp(lines[i].name, name) == 0) return i;
    return -1;
}

/* When the next change of any line is due; 0: none is to come. */
static int64_t next_change(void) {
    int64_t next = 0;
    for (int i = 0; i < kept; i++)
        for (int j = 0; j < CGPIOD_CHANGES; j++) {
            int64_t due = lines[i].changes.boot_ns[j];
            if (due != 0 && (next == 0 || due < next)) next = due;
        }
    return next;
}

/* Moves the lines whose time has come. A line that cannot be set, as of a chip that was unplugged, is not tried again. */
static void change_due(int64_t now) {
    for (int i = 0; i < kept; i++) {
        int64_t *due = lines[i].changes.boot_ns;
        bool pulse_ends = due[CGPIOD_PULSE_END] != 0 && due[CGPIOD_PULSE_END] <= now;
        bool becomes_safe = due[CGPIOD_SAFE] != 0 && due[CGPIOD_SAFE] <= now;
        if (!pulse_ends && !becomes_safe) continue;
        /* Both late: the safe value is the one that stays, for the commander is silent. */
        cgpiod_set(lines[i].fd, lines[i].changes.value[becomes_safe ? CGPIOD_SAFE : CGPIOD_PULSE_END]);
        due[CGPIOD_PULSE_END] = 0;
        if (becomes_safe) due[CGPIOD_SAFE] = 0;
    }
}

static void serve(int socket) {
    struct message message;
    int fd;
    if (!is_trusted(socket) || receive_message(socket, &message, sizeof message, &fd) != 0) return;
    int index = find_line(message.name);
    char operation = message.operation;
    message.operation = 'y';
    message.error = 0;
    int64_t age = boot_ns() - message.sent_ns;
    if (age < 0 || age > patience_ns) {
        message.error = ETIMEDOUT;
    } else if (operation == 'K') {
        if (fd < 0) message.error = EBADF;
        else if (index < 0 && kept == LINES) message.error = ENOSPC;
        else {
            if (index >= 0) close(lines[index].fd);
            else index = kept++;
            memset(&lines[index], 0, sizeof lines[index]);
            memcpy(lines[index].name, message.name, NAME_SIZE);
            lines[index].fd = fd;
            fd = -1;
        }
    } else if (index < 0) {
        message.error = ENOENT;
    } else if (operation == 'G') {
        message.changes = lines[index].changes;
        send_message(socket, &message, sizeof message, lines[index].fd);
        if (fd >= 0) close(fd);
        return;
    } else if (operation == 'S') {
        if (cgpiod_set(lines[index].fd, message.value) == 0) lines[index].changes = message.changes;
        else message.error = errno;
    } else if (operation == 'R') {
        close(lines[index].fd);
        lines[index] = lines[--kept];
    } else {
        message.error = EPROTO;
    }
    if (fd >= 0) close(fd);
    if (message.error) message.operation = 'n';
    send_message(socket, &message, sizeof message, -1);
}

static void run(int listener, const char *path, ino_t inode) {
    int idle = 0;
    while (kept > 0 || idle < 3) {
        int64_t now = boot_ns(), next = next_change();
        int timeout = PERIOD_MS;
        if (next != 0 && next - now < (int64_t)PERIOD_MS * 1000000)
            timeout = next <= now ? 0 : (int)((next - now + 999999) / 1000000);
        struct pollfd entry = {.fd = listener, .events = POLLIN};
        int ready = poll(&entry, 1, timeout);
        /* Before a request is served: it may replace what is due already, and then it comes after it. */
        change_due(boot_ns());
        if (kept > 0 || ready > 0) idle = 0;
        else if (ready == 0) idle++;
        if (ready > 0) {
            int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (socket >= 0) {
                limit_time(socket);
                serve(socket);
                close(socket);
            }
        }
        /* The data directory was removed, or another keeper took the place: no process will ever ask again. What was
         * promised is done first. */
        struct stat status;
        if (next_change() == 0 && (stat(path, &status) != 0 || status.st_ino != inode)) return;
    }
    unlink(path);
}

/* Where this process's command line lies in its memory (arg_start and arg_end of proc_pid_stat(5)). */
static int find_command_line(char **start, size_t *size) {
    char text[2048];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) return -1;
    text[count] = 0;
    /* The name, which may hold anything, is in the last brackets; what follows begins with the third field. */
    char *rest = strrchr(text, ')');
    for (int field = 2; rest && field < 48; field++) rest = strchr(rest + 1, ' ');
    unsigned long first = 0, last = 0;
    if (!rest || sscanf(rest, "%lu %lu", &first, &last) != 2 || first == 0 || last <= first) return -1;
    *start = (char *)first;
    *size = last - first;
    return 0;
}

static int start(const char *path) {
    struct sockaddr_un where;
    socklen_t size;
    struct stat status;
    if (address(path, &where, &size) != 0) return -1;
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0) return -1;
    unlink(path);
    mode_t mask = umask(0077);
    int bound = bind(listener, (struct sockaddr *)&where, size);
    int error = errno;
    umask(mask);
    if (bound != 0 || listen(listener, 8) != 0 || stat(path, &status) != 0) {
        if (bound == 0) error = errno;
        close(listener);
        errno = error;
        return -1;
    }
    /* Under its own name, so that a kill of the gateway by its name does not reach the keeper. */
    static const char own_name[] = "line-keeper";
    char *command_line = NULL;
    size_t command_size = 0;
    if (find_command_line(&command_line, &command_size) != 0) command_line = NULL;
    pid_t child = fork();
    if (child == 0) {
        /* Twice, so that the gateway need not wait for the keeper's end. */
        if (fork() != 0) _exit(0);
        setsid();
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int signal = 1; signal < 32; signal++) {
            struct sigaction action = {.sa_handler = SIG_DFL};
            /* A terminal that is closed, a pipe: no reason to let go. */
            if (signal == SIGHUP || signal == SIGPIPE || signal == SIGINT) action.sa_handler = SIG_IGN;
            sigaction(signal, &action, NULL);
        }
        prctl(PR_SET_NAME, own_name);
        if (command_line && command_size > sizeof own_name) {
            memset(command_line, 0, command_size);
            memcpy(command_line, own_name, sizeof own_name);
        }
        if (listener != 3) dup2(listener, 3);
        close_range(4, ~0U, 0);
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(null, fd);
        close(null);
        if (chdir("/") != 0) _exit(1);
        kept = 0;
        run(3, path, status.st_ino);
        _exit(0);
    }
    error = errno;
    close(listener);
    if (child < 0) {
        errno = error;
        return -1;
    }
    int ended;
    while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {}
    return 0;
}

/* Asks the keeper; 0 and its answer, or -1 and errno, ENOENT: there is no keeper. *answered is a descriptor that came
 * with the answer, or -1. */
static int ask(const char *path, struct message *message, size_t length, int fd, int *answered) {
    struct sockaddr_un where;
    socklen_t size;
    *answered = -1;
    if (address(path, &where, &size) != 0) return -1;
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connection < 0) return -1;
    limit_time(connection);
    message->sent_ns = boot_ns();
    int result = -1;
    if (connect(connection, (struct sockaddr *)&where, size) == 0) {
        if (is_trusted(connection)) {
            if (send_message(connection, message, length, fd) == 0)
                result = receive_message(connection, message, length, answered);
        } else {
            errno = EPERM;
        }
    } else if (errno == ECONNREFUSED) {
        errno = ENOENT;
    }
    if (result == 0 && message->operation != 'y') {
        errno = message->error ? message->error : EPROTO;
        result = -1;
    }
    int error = errno;
    close(connection);
    if (result != 0 && *answered >= 0) {
        close(*answered);
        *answered = -1;
    }
    errno = error;
    return result;
}

static int name_message(struct message *message, char operation, const char *name) {
    memset(message, 0, sizeof *message);
    message->operation = operation;
    if (strlen(name) >= NAME_SIZE) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(message->name, name);
    return 0;
}

int cgpiod_keep(const char *socket_path, const char *name, int fd) {
    struct message message;
    int answered;
    if (name_message(&message, 'K', name) != 0) return -1;
    if (ask(socket_path, &message, sizeof message, fd, &answered) != 0) {
        if (errno != ENOENT || start(socket_path) != 0 || name_message(&message, 'K', name) != 0 ||
            ask(socket_path, &message, sizeof message, fd, &answered) != 0)
            return -1;
    }
    if (answered >= 0) close(answered);
    return 0;
}

int cgpiod_kept(const char *socket_path, const char *name, cgpiod_changes *changes) {
    struct message message;
    int answered;
    if (name_message(&message, 'G', name) != 0 || ask(socket_path, &message, sizeof message, -1, &answered) != 0) return -1;
    if (answered < 0) errno = EPROTO;
    else *changes = message.changes;
    return answered;
}

int cgpiod_kept_set(const char *socket_path, const char *name, bool value, const cgpiod_changes *changes) {
    struct message message;
    int answered;
    if (name_message(&message, 'S', name) != 0) return -1;
    message.value = value;
    message.changes = *changes;
    if (ask(socket_path, &message, sizeof message, -1, &answered) != 0) return -1;
    if (answered >= 0) close(answered);
    return 0;
}

int cgpiod_release(const char *socket_path, const char *name) {
    struct message message;
    int answered;
    if (name_message(&message, 'R', name) != 0 || ask(socket_path, &message, sizeof message, -1, &answered) != 0) return -1;
    if (answered >= 0) close(answered);
    return 0;
}

int cgpiod_kept_by_old(const char *socket_path, const char *name) {
    struct message message;
    int answered;
    if (name_message(&message, 'G', name) != 0 || ask(socket_path, &message, OLD_LENGTH, -1, &answered) != 0) return -1;
    if (answered < 0) errno = EPROTO;
    return answered;
}

int cgpiod_release_by_old(const char *socket_path, const char *name) {
    struct message message;
    int answered;
    if (name_message(&message, 'L', name) != 0 || ask(socket_path, &message, OLD_LENGTH, -1, &answered) != 0) return -1;
    if (answered >= 0) close(answered);
    return 0;
}
