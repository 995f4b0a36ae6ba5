/* Ctrl-C and other signals during native work that does not hold Python.
 *
 * In: a stop flag. Out: the flag set as soon as Ctrl-C arrives, and the Python exception raised at
 * the next poll. Python's own handler only notes a signal until Python code runs again; a kernel
 * that loops for an hour would never see it. So while native work lasts in the main thread, a
 * handler in front of Python's sets the flag, which chunks and loop kernels look at. This is done
 * only if Ctrl-C means KeyboardInterrupt; a handler of the user's runs between chunks instead.
 */
#include "core.h"

#include <signal.h>
#include <time.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#define POLL_INTERVAL_NS 50000000

static volatile int32_t main_stop; /* for native work of the main thread; set by the handler */
static struct sigaction previous;
static int installed; /* nesting depth; main thread only */
static PyObject *get_signal, *default_handler, *interrupt_number;
static _Thread_local int thread_kind; /* 0 until asked; then 1 for the main thread, else -1 */
#ifndef __linux__
static unsigned long main_thread;
#endif

static bool is_main_thread(void)
{
    if (!thread_kind) {
#ifdef __linux__
        thread_kind = syscall(SYS_gettid) == getpid() ? 1 : -1;
#else
        thread_kind = PyThread_get_thread_ident() == main_thread ? 1 : -1;
#endif
    }
    return thread_kind > 0;
}

/* The thread that forked is the child's main thread. */
void interrupt_after_fork(void)
{
    thread_kind = 0;
#ifndef __linux__
    main_thread = PyThread_get_thread_ident();
#endif
}

static void on_interrupt(int number, siginfo_t *info, void *machine)
{
    main_stop = 1; /* static: the handler may run in a thread that outlives the work */
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(number, info, machine);
    else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN)
        previous.sa_handler(number);
}

/* Whether Ctrl-C means KeyboardInterrupt now. */
static bool raises_interrupt(void)
{
    PyObject *handler = PyObject_CallOneArg(get_signal, interrupt_number);
    if (!handler)
        PyErr_Clear();
    Py_XDECREF(handler);
    return handler == default_handler;
}

static void install(void)
{
    if (installed++)
        return;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_interrupt;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (!previous.sa_handler) /* the first time; a signal may come before the next line is done */
        sigaction(SIGINT, NULL, &previous);
    sigaction(SIGINT, &action, &previous);
}

static void uninstall(void)
{
    if (--installed)
        return;
    struct sigaction now;
    sigaction(SIGINT, &previous, &now);
    if (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_interrupt)
        sigaction(SIGINT, &now, NULL); /* somebody has installed another one meanwhile */
}

void native_begin(Native *native, bool watch)
{
    native->own_stop = 0;
    native->stop = &native->own_stop;
    if (watch && is_main_thread() && raises_interrupt()) {
        native->outer_stop = main_stop;
        native->stop = &main_stop;
        main_stop = 0;
        install();
    }
    native->next_poll_ns = now_ns() + POLL_INTERVAL_NS;
    native->thread = PyEval_SaveThread();
}

bool native_end(Native *native)
{
    PyEval_RestoreThread(native->thread);
    bool stopped = *native->stop;
    if (native->stop == &main_stop) {
        uninstall();
        main_stop = native->outer_stop;
    }
    return stopped;
}

void native_poll(Native *native)
{
    int64_t now = now_ns();
    if (!*native->stop && now < native->next_poll_ns)
        return;
    PyEval_RestoreThread(native->thread);
    bool failed = PyErr_Occurred() || PyErr_CheckSignals() < 0;
    native->thread = PyEval_SaveThread();
    native->next_poll_ns = now_ns() + POLL_INTERVAL_NS;
    if (failed)
        *native->stop = 1;
}

int interrupt_setup(void)
{
#ifndef __linux__
    main_thread = PyThread_get_thread_ident();
#endif
    get_signal = imported("_signal", "getsignal");
    default_handler = imported("_signal", "default_int_handler");
    interrupt_number = default_handler ? PyLong_FromLong(SIGINT) : NULL;
    return get_signal && default_handler && interrupt_number ? 0 : -1;
}
