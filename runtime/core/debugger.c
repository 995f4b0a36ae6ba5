/* Object files in memory that gdb is told of, by its interface for JIT compilers: two symbols that
 * it looks for, a list that it reads, and a function in which it has a breakpoint.
 *
 * In: relocatable objects with the addresses of their sections. Out: entries of the list.
 */
#include "core.h"

typedef struct Entry {
    struct Entry *next, *previous;
    const char *image;
    uint64_t size_bytes;
} Entry;

typedef struct {
    uint32_t version, action;
    Entry *relevant, *first;
} Descriptor;

enum { NOTHING, REGISTER, UNREGISTER };

#define VISIBLE __attribute__((visibility("default")))

extern VISIBLE Descriptor __jit_debug_descriptor;
VISIBLE Descriptor __jit_debug_descriptor = {.version = 1};

VISIBLE void __attribute__((noinline)) __jit_debug_register_code(void);
void __jit_debug_register_code(void) { __asm__ volatile("" ::: "memory"); }

static void notify(uint32_t action, Entry *entry)
{
    __jit_debug_descriptor.action = action;
    __jit_debug_descriptor.relevant = entry;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = NOTHING;
    __jit_debug_descriptor.relevant = NULL;
}

static PyObject *register_image(PyObject *module, PyObject *image)
{
    (void)module;
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(image, &bytes, &size) < 0)
        return NULL;
    Entry *entry = PyMem_Malloc(sizeof *entry + (size_t)size);
    PyObject *handle = entry ? PyLong_FromVoidPtr(entry) : PyErr_NoMemory();
    if (!handle) {
        PyMem_Free(entry);
        return NULL;
    }
    memcpy(entry + 1, bytes, (size_t)size);
    *entry = (Entry){__jit_debug_descriptor.first, NULL, (char *)(entry + 1), (uint64_t)size};
    if (entry->next)
        entry->next->previous = entry;
    __jit_debug_descriptor.first = entry;
    notify(REGISTER, entry);
    return handle;
}

static PyObject *unregister_image(PyObject *module, PyObject *handle)
{
    (void)module;
    void *wanted = PyLong_AsVoidPtr(handle);
    if (!wanted && PyErr_Occurred())
        return NULL;
    Entry *entry = __jit_debug_descriptor.first;
    while (entry && entry != wanted)
        entry = entry->next;
    if (!entry) {
        PyErr_SetString(PyExc_ValueError, "no image is registered under this number");
        return NULL;
    }
    *(entry->previous ? &entry->previous->next : &__jit_debug_descriptor.first) = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    notify(UNREGISTER, entry);
    PyMem_Free(entry);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"register_debug_image", register_image, METH_O,
     "Tell gdb of an object file, given as bytes; the result is a number to unregister it by."},
    {"unregister_debug_image", unregister_image, METH_O,
     "Tell gdb that the code of a registered object file is gone."},
    {NULL, NULL, 0, NULL},
};

int debugger_setup(PyObject *module) { return PyModule_AddFunctions(module, functions); }
