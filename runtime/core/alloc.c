/* Blocks of memory: 64-byte aligned, in size classes, recycled through free lists.
 *
 * In: sizes. Out: blocks. A released block waits in its class's list for the next request; when
 * the lists hold more than the limit, or the system refuses memory, they are emptied. One lock
 * guards all, so that a run may take memory without holding Python.
 */
#include "core.h"

#include <pthread.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include <unistd.h>

#define SMALLEST_CLASS_BITS 9 /* 512 bytes */
#define STEPS_PER_DOUBLING 8
#define CLASS_COUNT ((48 - SMALLEST_CLASS_BITS) * STEPS_PER_DOUBLING)
#define MAX_BLOCK ((size_t)1 << 46)
#define MAP_FROM ((size_t)256 << 10) /* larger blocks come from mmap and go back by munmap */
#define HUGE_PAGES_FROM ((size_t)4 << 20)

typedef struct FreeBlock {
    struct FreeBlock *next;
} FreeBlock;

static FreeBlock *free_lists[CLASS_COUNT];
static MemoryStats stats;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The class of a size, and the size that blocks of the class really have. */
static int class_of(size_t size_bytes, size_t *capacity)
{
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

/* The machine's memory, or what the control group leaves of it. */
static size_t memory_granted(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    size_t memory = pages > 0 && page_bytes > 0 ? (size_t)pages * (size_t)page_bytes : 0;
    FILE *file = fopen("/sys/fs/cgroup/memory.max", "r");
    size_t quota;
    if (file) {
        if (fscanf(file, "%zu", &quota) == 1 && quota < memory)
            memory = quota;
        fclose(file);
    }
    return memory;
}

static size_t cache_limit(void)
{
    static size_t limit;
    if (!limit) {
        limit = (size_t)256 << 20;
        size_t memory = memory_granted();
        if (memory / 8 > limit)
            limit = memory / 8;
    }
    return limit;
}

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
    if (size_bytes > MAX_BLOCK)
        return NULL;
    size_t capacity;
    int class = class_of(size_bytes, &capacity);
    pthread_mutex_lock(&lock);
    void *block = free_lists[class];
    if (block) {
        free_lists[class] = ((FreeBlock *)block)->next;
        stats.cached_bytes -= capacity;
    } else {
        block = system_acquire(capacity);
        if (!block && trim_locked())
            block = system_acquire(capacity);
    }
    if (block) {
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
    pthread_mutex_lock(&lock);
    stats.bytes_in_use -= capacity;
    if (stats.cached_bytes + capacity > cache_limit())
        trim_locked(); /* sizes that are no longer asked for must not crowd out new ones */
    if (capacity > cache_limit()) {
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

Storage *storage_new(size_t size_bytes)
{
    Storage *storage = PyMem_Malloc(sizeof *storage);
    void *data = storage ? block_acquire(size_bytes) : NULL;
    if (!data) {
        PyMem_Free(storage);
        MemoryStats now;
        block_stats(&now, false);
        PyErr_Format(PyExc_MemoryError, "cannot allocate %zu bytes; %zu bytes are in use",
                     size_bytes, now.bytes_in_use);
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
