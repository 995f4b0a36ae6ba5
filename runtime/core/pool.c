/* The thread pool: threads that share the chunks of one piece of work.
 *
 * In: a task and a count. Out: the task called once for each index below it, by the caller and
 * by the workers. Workers spin a little (as long as waking them takes), then sleep on a futex. Work
 * is complete when all indices are done, so a worker that wakes late delays nobody. One launch at
 * a time; a second caller is told so and does its work alone. Threads start at the first launch
 * and never with the import.
 *
 * The hot word is the ticket, (launch number << 32) | next index. A launch first closes the
 * ticket, then writes the job, then opens it: a late worker of the launch before either takes its
 * index before the closing, and then it read its own job, or fails to take one.
 */
#include "core.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define MAX_THREADS 1024
#define SPIN_NS 20000
#define PAUSES 16 /* between looks at the clock */
#define CLOSED 0xFFFFFFFFu
#define POLL_NS 10000000

typedef struct {
    _Alignas(64) _Atomic int32_t launches; /* workers wait for it to change */
    _Atomic int32_t sleepers;
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic int64_t done;
    _Atomic int32_t finished; /* number of the last finished launch; the caller waits for it */
    _Alignas(64) _Atomic(PoolTask) task;
    _Atomic(void *) context;
    _Atomic int64_t count;
    _Atomic int32_t participants;
} Pool;

static Pool pool;
static pthread_mutex_t launch_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int wanted_threads = 1;
static _Thread_local int scoped_threads; /* of this Python thread; 0: as many as wanted */
static int started_workers;             /* guarded by launch_lock */
static _Atomic uint32_t fork_generation;

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

/* Whether the word becomes `value` in a short time (or, if not `becomes`, something else). */
static bool spin_until(_Atomic int32_t *word, int32_t value, bool becomes)
{
    int64_t end = clock_ns() + SPIN_NS;
    do {
        for (int k = 0; k < PAUSES; k++) {
            if ((atomic_load_explicit(word, memory_order_acquire) == value) == becomes)
                return true;
            pause_cpu();
        }
    } while (clock_ns() < end);
    return false;
}

#ifdef __linux__
static void wait_for_change(_Atomic int32_t *word, int32_t seen, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout_ns ? &timeout : NULL, NULL, 0);
}

static void wake_all(_Atomic int32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
#else
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_change = PTHREAD_COND_INITIALIZER;

static void wait_for_change(_Atomic int32_t *word, int32_t seen, int64_t timeout_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t nanoseconds = until.tv_nsec + (timeout_ns ? timeout_ns : 1000000000);
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&sleep_lock);
    if (atomic_load(word) == seen)
        pthread_cond_timedwait(&sleep_change, &sleep_lock, &until);
    pthread_mutex_unlock(&sleep_lock);
}

static void wake_all(_Atomic int32_t *word)
{
    (void)word;
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&sleep_change);
    pthread_mutex_unlock(&sleep_lock);
}
#endif

/* Take and do indices of launch `number` until none is left. */
static void take_part(uint32_t number, int worker)
{
    for (;;) {
        uint64_t ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        PoolTask task;
        void *context;
        int64_t count;
        do {
            task = atomic_load_explicit(&pool.task, memory_order_relaxed);
            context = atomic_load_explicit(&pool.context, memory_order_relaxed);
            count = atomic_load_explicit(&pool.count, memory_order_relaxed);
            if (ticket >> 32 != number || (int64_t)(ticket & CLOSED) >= count)
                return;
        } while (!atomic_compare_exchange_weak_explicit(&pool.ticket, &ticket, ticket + 1,
                                                        memory_order_acq_rel,
                                                        memory_order_acquire));
        task(context, (int64_t)(ticket & CLOSED), worker);
        if (atomic_fetch_add_explicit(&pool.done, 1, memory_order_acq_rel) + 1 == count) {
            atomic_store(&pool.finished, (int32_t)number);
            if (worker)
                wake_all(&pool.finished);
        }
    }
}

static void *worker_main(void *argument)
{
    int worker = (int)(intptr_t)argument;
    int32_t seen = atomic_load(&pool.launches);
    for (bool first = true;; first = false) {
        if (!first)
            spin_until(&pool.launches, seen, false);
        int32_t now = atomic_load_explicit(&pool.launches, memory_order_acquire);
        while (now == seen && !first) {
            atomic_fetch_add(&pool.sleepers, 1);
            wait_for_change(&pool.launches, seen, 0);
            atomic_fetch_sub(&pool.sleepers, 1);
            now = atomic_load(&pool.launches);
        }
        seen = now;
        if (worker < atomic_load_explicit(&pool.participants, memory_order_relaxed))
            take_part((uint32_t)seen, worker);
    }
    return NULL;
}

/* Start workers up to `threads` in all, with the launch lock held. Fewer is no error. */
static void start_workers(int threads)
{
    if (started_workers >= threads - 1)
        return;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's own threads */
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (started_workers < threads - 1) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, worker_main,
                           (void *)(intptr_t)(started_workers + 1)))
            break;
#ifdef __linux__
        pthread_setname_np(thread, "jitml-worker");
#endif
        started_workers++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void launch(PoolTask task, void *context, int64_t count, int threads, uint32_t number)
{
    atomic_exchange_explicit(&pool.ticket, (uint64_t)number << 32 | CLOSED, memory_order_acq_rel);
    atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
    atomic_store_explicit(&pool.task, task, memory_order_relaxed);
    atomic_store_explicit(&pool.context, context, memory_order_relaxed);
    atomic_store_explicit(&pool.count, count, memory_order_relaxed);
    atomic_store_explicit(&pool.participants, threads, memory_order_relaxed);
    atomic_store_explicit(&pool.ticket, (uint64_t)number << 32, memory_order_release);
    atomic_store(&pool.launches, (int32_t)number);
    if (atomic_load(&pool.sleepers))
        wake_all(&pool.launches);
}

/* Wait until all indices are done; false if a fork left their threads behind. */
static bool wait_for_others(PoolPoll poll, void *context, uint32_t number, uint32_t generation)
{
    if (spin_until(&pool.finished, (int32_t)number, true))
        return true;
    for (;;) {
        int32_t seen = atomic_load_explicit(&pool.finished, memory_order_acquire);
        if (seen == (int32_t)number)
            return true;
        if (atomic_load(&fork_generation) != generation)
            return false;
        wait_for_change(&pool.finished, seen, POLL_NS);
        poll(context);
    }
}

PoolResult pool_run(PoolTask task, PoolPoll poll, void *context, int64_t count, int threads)
{
    if (threads == 1 || count >= (int64_t)CLOSED || pthread_mutex_trylock(&launch_lock))
        return POOL_BUSY;
    uint32_t generation = atomic_load(&fork_generation);
    start_workers(threads);
    uint32_t number = (uint32_t)atomic_load(&pool.launches) + 1;
    launch(task, context, count, threads, number);
    take_part(number, 0);
    bool complete = wait_for_others(poll, context, number, generation);
    if (atomic_load(&fork_generation) != generation)
        return POOL_LOST; /* in the child the lock is a new one, and free */
    pthread_mutex_unlock(&launch_lock);
    return complete ? POOL_DONE : POOL_LOST;
}

int pool_threads(void)
{
    return scoped_threads ? scoped_threads
                          : atomic_load_explicit(&wanted_threads, memory_order_relaxed);
}

int pool_scope_threads(int count)
{
    int before = scoped_threads;
    scoped_threads = count > MAX_THREADS ? MAX_THREADS : count;
    return before;
}

void pool_set_threads(int count)
{
    atomic_store(&wanted_threads, count > MAX_THREADS ? MAX_THREADS : count);
}

/* The child has none of the workers: it begins anew. */
void pool_after_fork(void)
{
    pthread_mutex_init(&launch_lock, NULL);
    started_workers = 0;
    atomic_store(&pool.sleepers, 0);
    atomic_fetch_add(&fork_generation, 1);
}
