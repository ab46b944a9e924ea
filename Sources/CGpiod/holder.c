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
#include <unistd.h>

enum { NAME_SIZE = 128, LINES = 64, PERIOD_MS = 2000 };

/* One message each way; a descriptor travels beside it (SCM_RIGHTS, unix(7)). */
struct message {
    char operation; /* 'H' hold, 'G' give, 'L' let go; in the answer 'y' or 'n' */
    char name[NAME_SIZE];
};

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

static int send_message(int socket, const struct message *message, int fd) {
    struct iovec part = {.iov_base = (void *)message, .iov_len = sizeof *message};
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
    return sent == (ssize_t)sizeof *message ? 0 : -1;
}

/* 0, or -1; *fd is -1 when none came. */
static int receive_message(int socket, struct message *message, int *fd) {
    struct iovec part = {.iov_base = message, .iov_len = sizeof *message};
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
    if (received == (ssize_t)sizeof *message && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
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

/* The holder itself. It was forked from a process with threads, so only what signal-safety(7) allows is called. */
static struct {
    char name[NAME_SIZE];
    int fd;
} lines[LINES];
static int held;

static int place(const char *name) {
    for (int i = 0; i < held; i++)
        if (strcmp(lines[i].name, name) == 0) return i;
    return -1;
}

static void serve(int socket) {
    struct message message;
    int fd, index;
    if (!is_trusted(socket) || receive_message(socket, &message, &fd) != 0) return;
    int found = place(message.name);
    char operation = message.operation;
    message.operation = 'n';
    switch (operation) {
    case 'H':
        index = found >= 0 ? found : held < LINES ? held : -1;
        if (fd < 0 || index < 0) break;
        if (found >= 0) close(lines[index].fd);
        else held++;
        memcpy(lines[index].name, message.name, NAME_SIZE);
        lines[index].fd = fd;
        fd = -1;
        message.operation = 'y';
        send_message(socket, &message, -1);
        return;
    case 'G':
        if (found < 0) break;
        message.operation = 'y';
        send_message(socket, &message, lines[found].fd);
        if (fd >= 0) close(fd);
        return;
    case 'L':
        if (found < 0) break;
        close(lines[found].fd);
        lines[found] = lines[--held];
        message.operation = 'y';
        break;
    }
    if (fd >= 0) close(fd);
    send_message(socket, &message, -1);
}

static void run(int listener, const char *path, ino_t inode) {
    int idle = 0;
    while (held > 0 || idle < 3) {
        struct pollfd entry = {.fd = listener, .events = POLLIN};
        int ready = poll(&entry, 1, PERIOD_MS);
        idle = held > 0 || ready > 0 ? 0 : idle + 1;
        if (ready > 0) {
            int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (socket >= 0) {
                limit_time(socket);
                serve(socket);
                close(socket);
            }
        }
        /* The data directory was removed, or another holder took the place: nobody will ever ask again. */
        struct stat status;
        if (stat(path, &status) != 0 || status.st_ino != inode) return;
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
    /* Under its own name, so that nobody who kills the gateway by its name kills this, too. */
    static const char own_name[] = "gpio-lines";
    char *command_line = NULL;
    size_t command_size = 0;
    if (find_command_line(&command_line, &command_size) != 0) command_line = NULL;
    pid_t child = fork();
    if (child == 0) {
        /* Twice, so that it is nobody's child who would have to wait for it. */
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
        int kept = fcntl(listener, F_DUPFD, 3);
        if (kept != 3) {
            dup2(listener, 3);
            kept = 3;
        }
        close_range(4, ~0U, 0);
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(null, fd);
        close(null);
        if (chdir("/") != 0) _exit(1);
        held = 0;
        run(kept, path, status.st_ino);
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

/* Asks the holder; 0 and its answer, or -1 and errno. */
static int ask(const char *path, struct message *message, int fd, int *answered) {
    struct sockaddr_un where;
    socklen_t size;
    if (address(path, &where, &size) != 0) return -1;
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connection < 0) return -1;
    limit_time(connection);
    int result = -1;
    if (connect(connection, (struct sockaddr *)&where, size) == 0) {
        if (is_trusted(connection)) {
            if (send_message(connection, message, fd) == 0) result = receive_message(connection, message, answered);
        } else {
            errno = EPERM;
        }
    }
    int error = errno;
    close(connection);
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

int cgpiod_hold(const char *socket_path, const char *name, int fd) {
    struct message message;
    int answered = -1;
    if (name_message(&message, 'H', name) != 0) return -1;
    if (ask(socket_path, &message, fd, &answered) != 0) {
        if (errno != ENOENT && errno != ECONNREFUSED) return -1;
        if (start(socket_path) != 0 || name_message(&message, 'H', name) != 0 || ask(socket_path, &message, fd, &answered) != 0)
            return -1;
    }
    if (answered >= 0) close(answered);
    if (message.operation == 'y') return 0;
    errno = ENOSPC;
    return -1;
}

int cgpiod_held(const char *socket_path, const char *name) {
    struct message message;
    int answered = -1;
    if (name_message(&message, 'G', name) != 0) return -1;
    if (ask(socket_path, &message, -1, &answered) != 0) {
        if (errno == ECONNREFUSED) errno = ENOENT;
        return -1;
    }
    if (message.operation == 'y' && answered >= 0) return answered;
    if (answered >= 0) close(answered);
    errno = ENOENT;
    return -1;
}

int cgpiod_let_go(const char *socket_path, const char *name) {
    struct message message;
    int answered = -1;
    if (name_message(&message, 'L', name) != 0 || ask(socket_path, &message, -1, &answered) != 0) {
        if (errno == ECONNREFUSED) errno = ENOENT;
        return -1;
    }
    if (answered >= 0) close(answered);
    if (message.operation == 'y') return 0;
    errno = ENOENT;
    return -1;
}
