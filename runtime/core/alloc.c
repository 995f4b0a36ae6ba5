/* Blocks of memory: 64-byte aligned, in size classes, recycled through free lists.
 *
 * In: sizes. Out: blocks. A released block waits in its class's list for the next request; when
 * the lists hold more than the limit, the machine runs short, or the system refuses memory, they
 * are emptied. One lock guards all, so that a run may take memory without holding Python.
 */
#include "core.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#ifdef __linux__
#include <sys/mman.h>
#include <sys/sysinfo.h>
#endif
#include <unistd.h>

#define SMALLEST_CLASS_BITS 9 /* 512 bytes */
#define STEPS_PER_DOUBLING 8
#define CLASS_COUNT ((48 - SMALLEST_CLASS_BITS) * STEPS_PER_DOUBLING)
#define MAX_BLOCK ((size_t)1 << 46)
#define MAP_FROM ((size_t)256 << 10) /* larger blocks come from mmap and go back by munmap */
#define HUGE_PAGES_FROM ((size_t)4 << 20)
#define LEAST_CACHE ((size_t)256 << 20)
#define SHORT_PART 16 /* memory is short when less than this part of it is left */
#define WORTH_A_LOOK ((size_t)16 << 20)
#define LOOK_INTERVAL_NS 100000000

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

static FreeBlock *free_lists[CLASS_COUNT];
static MemoryStats stats;
/* Bytes that may wait in the lists, that the process has, and (swap included) that it may ask
 * for: the system often grants more, and kills the process when it uses them. */
static size_t cache_limit, memory_limit, request_limit = SIZE_MAX;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The class of a size, and the size that blocks of the class really have. */
static int class_of(size_t size_bytes, size_t *capacity)
{
#ifdef JITML_GUARD_BLOCKS
    *capacity = size_bytes ? ALIGN_UP(size_bytes) : ALIGNMENT;
    return 0;
#endif
    size_t smallest = (size_t)1 << SMALLEST_CLASS_BITS;
    if (size_bytes <= smallest) {
        *capacity = smallest;
        return 0;
    }
    int bits = 63 - __builtin_clzll(size_bytes - 1);
    size_t base = (size_t)1 << bits, step = base / STEPS_PER_DOUBLING;
    size_t steps = (size_bytes - base + step - 1) / step;
    *capacity = base + steps * step;
    return (bits - SMALLEST_CLASS_BITS) * STEPS_PER_DOUBLING + (int)steps;
}

/* ---- how much may be kept ---- */

static size_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (size_t)pages * (size_t)page_bytes : LEAST_CACHE;
}

static size_t machine_swap(void)
{
#ifdef __linux__
    struct sysinfo info;
    return sysinfo(&info) ? SIZE_MAX / 2 : (size_t)info.totalswap * info.mem_unit;
#else
    return SIZE_MAX / 2;
#endif
}

/* With the lock held. An eighth of the memory may wait in the lists; of a small one a quarter. */
static void set_limits(size_t granted)
{
    memory_limit = machine_memory();
    if (granted && granted < memory_limit)
        memory_limit = granted;
    request_limit = memory_limit + machine_swap();
#ifdef JITML_GUARD_BLOCKS
    return; /* no block waits in the lists */
#endif
    size_t least = memory_limit / 4 < LEAST_CACHE ? memory_limit / 4 : LEAST_CACHE;
    cache_limit = memory_limit / 8 > least ? memory_limit / 8 : least;
}

void block_set_limit(size_t size_bytes)
{
    pthread_mutex_lock(&lock);
    set_limits(size_bytes);
    pthread_mutex_unlock(&lock);
}

#ifdef __linux__
/* Whether the machine runs short of memory, other processes included. */
static bool machine_is_short(void)
{
    char text[256];
    int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = 0;
    const char *found = strstr(text, "MemAvailable:");
    size_t kilobytes = found ? strtoull(found + sizeof "MemAvailable:" - 1, NULL, 10) : SIZE_MAX;
    return kilobytes < memory_limit / (1024 * SHORT_PART);
}
#else
static bool machine_is_short(void) { return false; }
#endif

/* With the lock held: whether blocks that nobody uses should go back now. The machine is asked
 * ten times a second at most, and only if there is something to give. */
static bool is_under_pressure(size_t more)
{
    static int64_t next_look_ns;
    if (stats.bytes_in_use + stats.cached_bytes + more > memory_limit - memory_limit / SHORT_PART)
        return true;
    if (stats.cached_bytes + more < WORTH_A_LOOK)
        return false;
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    int64_t now_ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    if (now_ns < next_look_ns)
        return false;
    next_look_ns = now_ns + LOOK_INTERVAL_NS;
    return machine_is_short();
}

/* ---- blocks from the system ---- */

#ifdef JITML_GUARD_BLOCKS
/* In builds for tests, blocks end where memory that nobody may touch begins. What an access of
 * whole vectors may reach before it, up to ALIGNMENT - 1 bytes, is looked at when the block goes. */
#define MARK 0xa5

static size_t pages_bytes(size_t capacity)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (capacity + page - 1) / page * page;
}

static void *system_acquire(size_t capacity)
{
    size_t inside = pages_bytes(capacity), page = pages_bytes(1);
    char *first = mmap(NULL, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (first == MAP_FAILED || mprotect(first + page, inside, PROT_READ | PROT_WRITE))
        return NULL;
    return first + page + inside - capacity;
}

static void system_release(void *block, size_t capacity)
{
    size_t inside = pages_bytes(capacity), page = pages_bytes(1);
    munmap((char *)block + capacity - inside - page, inside + 2 * page);
}

static void mark_rest(unsigned char *block, size_t size_bytes, size_t capacity)
{
    memset(block + size_bytes, MARK, capacity - size_bytes);
}

static void check_rest(const unsigned char *block, size_t size_bytes, size_t capacity)
{
    for (size_t at = size_bytes; at < capacity; at++) {
        if (block[at] != MARK) {
            fprintf(stderr, "jitml: byte %zu of a block of %zu was written\n", at, size_bytes);
            abort();
        }
    }
}

#else

#define mark_rest(block, size_bytes, capacity)
#define check_rest(block, size_bytes, capacity)

static void *system_acquire(size_t capacity)
{
#ifdef __linux__
    if (capacity >= MAP_FROM) {
        void *block = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return NULL;
        if (capacity >= HUGE_PAGES_FROM)
            madvise(block, capacity, MADV_HUGEPAGE);
        return block;
    }
#endif
    void *block = NULL;
    return posix_memalign(&block, ALIGNMENT, capacity) ? NULL : block;
}

static void system_release(void *block, size_t capacity)
{
#ifdef __linux__
    if (capacity >= MAP_FROM) {
        munmap(block, capacity);
        return;
    }
#endif
    (void)capacity;
    free(block);
}

#endif

static size_t class_capacity(int class)
{
    size_t base = (size_t)1 << (SMALLEST_CLASS_BITS + class / STEPS_PER_DOUBLING);
    return base + (size_t)(class % STEPS_PER_DOUBLING) * (base / STEPS_PER_DOUBLING);
}

/* Empty the free lists, with the lock held. */
static size_t trim_locked(void)
{
    size_t returned = stats.cached_bytes;
    if (!returned)
        return 0;
    for (int class = 0; class < CLASS_COUNT; class++) {
        while (free_lists[class]) {
            FreeBlock *block = free_lists[class];
            free_lists[class] = block->next;
            system_release(block, class_capacity(class));
        }
    }
    stats.cached_bytes = 0;
    return returned;
}

void *block_acquire(size_t size_bytes)
{
    if (size_bytes > MAX_BLOCK || allocation_fails())
        return NULL;
    size_t capacity;
    int class = class_of(size_bytes, &capacity);
    pthread_mutex_lock(&lock);
    void *block = free_lists[class];
    if (block) {
        free_lists[class] = ((FreeBlock *)block)->next;
        stats.cached_bytes -= capacity;
    } else {
        if (stats.cached_bytes && is_under_pressure(capacity))
            trim_locked();
        if (stats.bytes_in_use + capacity <= request_limit)
            block = system_acquire(capacity);
        if (!block && trim_locked())
            block = system_acquire(capacity);
    }
    if (block) {
        mark_rest(block, size_bytes, capacity);
        stats.allocations++;
        stats.bytes_in_use += capacity;
        if (stats.bytes_in_use > stats.peak_bytes)
            stats.peak_bytes = stats.bytes_in_use;
    }
    pthread_mutex_unlock(&lock);
    return block;
}

void block_release(void *block, size_t size_bytes)
{
    size_t capacity;
    int class = class_of(size_bytes, &capacity);
    check_rest(block, size_bytes, capacity);
    pthread_mutex_lock(&lock);
    stats.bytes_in_use -= capacity;
    if (!memory_limit)
        set_limits(0);
    bool is_short = is_under_pressure(capacity);
    if (is_short || stats.cached_bytes + capacity > cache_limit)
        trim_locked(); /* sizes that are no longer asked for must not crowd out new ones */
    if (is_short || capacity > cache_limit) {
        system_release(block, capacity);
    } else {
        ((FreeBlock *)block)->next = free_lists[class];
        free_lists[class] = block;
        stats.cached_bytes += capacity;
    }
    pthread_mutex_unlock(&lock);
}

size_t block_trim(void)
{
    pthread_mutex_lock(&lock);
    size_t returned = trim_locked();
    pthread_mutex_unlock(&lock);
    return returned;
}

size_t block_capacity(size_t size_bytes)
{
    size_t capacity;
    class_of(size_bytes, &capacity);
    return capacity;
}

void block_stats(MemoryStats *result, bool reset_peak)
{
    pthread_mutex_lock(&lock);
    if (reset_peak)
        stats.peak_bytes = stats.bytes_in_use;
    *result = stats;
    pthread_mutex_unlock(&lock);
}

/* A fork must not find the lock taken by a thread that the child does not have. */
void block_before_fork(void) { pthread_mutex_lock(&lock); }
void block_after_fork(void) { pthread_mutex_unlock(&lock); }

/* ---- storage ---- */

/* Say what holds the memory. Out of memory as we are, that itself may fail. */
static void raise_shortage(size_t size_bytes)
{
    MemoryStats now;
    block_stats(&now, false);
    PyObject *arrays = list_stored_arrays();
    PyObject *module = arrays ? PyImport_ImportModule("jitml_runtime.shortage") : NULL;
    PyObject *message = module ? PyObject_CallMethod(module, "describe_shortage", "nnO",
                                                     (Py_ssize_t)size_bytes,
                                                     (Py_ssize_t)now.bytes_in_use, arrays) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(arrays);
    if (message) {
        PyErr_SetObject(PyExc_MemoryError, message);
        Py_DECREF(message);
    } else if (PyErr_ExceptionMatches(PyExc_Exception)) { /* and not Ctrl-C */
        PyErr_NoMemory();
    }
}

Storage *storage_new(size_t size_bytes)
{
    Storage *storage = PyMem_Malloc(sizeof *storage);
    void *data = storage ? block_acquire(size_bytes) : NULL;
    if (!data) {
        PyMem_Free(storage);
        raise_shortage(size_bytes);
        return NULL;
    }
    *storage = (Storage){.references = 1, .data = data, .size_bytes = size_bytes};
    return storage;
}

Storage *storage_adopt(void *data, size_t size_bytes, void (*release)(Storage *), void *owner)
{
    Storage *storage = PyMem_Malloc(sizeof *storage);
    if (!storage) {
        PyErr_NoMemory();
        return NULL;
    }
    *storage = (Storage){1, data, size_bytes, release, owner};
    return storage;
}

void storage_drop(Storage *storage)
{
    if (!storage || --storage->references)
        return;
    if (storage->release)
        storage->release(storage);
    else
        block_release(storage->data, storage->size_bytes);
    PyMem_Free(storage);
}
