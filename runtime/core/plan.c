/* A plan of Python data (plan.py) becomes tables that a run reads without Python.
 *
 * In: a Plan that check_plan has accepted, kernel addresses, host functions. Out: Tables.
 * Must not know how a run proceeds.
 */
#include "core.h"

#define LONG_WORK_NS 50000 /* above it other Python threads may run meanwhile */
#define BYTES_PER_NS 8
#define STEP_NS 10       /* what a step takes beside its work */
#define QUICK_NS 2000    /* steps below it are polled after in groups */

static void *table_of(Py_ssize_t count, size_t size)
{
    void *table = PyMem_Calloc((size_t)count + 1, size);
    if (!table)
        PyErr_NoMemory();
    return table;
}

/* An attribute; NULL if an error is set, also one from before, which looking would clear. */
static PyObject *attribute(PyObject *owner, const char *name)
{
    return PyErr_Occurred() ? NULL : PyObject_GetAttrString(owner, name);
}

static int64_t number_attribute(PyObject *owner, const char *name)
{
    PyObject *value = attribute(owner, name);
    int64_t number = value ? PyLong_AsLongLong(value) : -1;
    Py_XDECREF(value);
    return number;
}

/* The attribute as a tuple; its count goes to *count. */
static PyObject *tuple_attribute(PyObject *owner, const char *name, Py_ssize_t *count)
{
    PyObject *value = attribute(owner, name);
    PyObject *tuple = value ? PySequence_Tuple(value) : NULL;
    Py_XDECREF(value);
    *count = tuple ? PyTuple_GET_SIZE(tuple) : 0;
    return tuple;
}

static int read_spec(Spec *spec, PyObject *source)
{
    int64_t shape[MAX_DIMENSIONS];
    PyObject *dtype = attribute(source, "dtype");
    PyObject *extents = attribute(source, "shape");
    PyObject *weak = attribute(source, "weak");
    spec->dtype = dtype ? dtype_code(dtype) : -1;
    spec->dimensions = extents && spec->dtype >= 0 ? shape_from_tuple(extents, shape) : -1;
    int is_weak = weak ? PyObject_IsTrue(weak) : -1;
    Py_XDECREF(dtype);
    Py_XDECREF(extents);
    Py_XDECREF(weak);
    if (spec->dtype < 0 || spec->dimensions < 0 || is_weak < 0)
        return -1;
    spec->weak = is_weak;
    spec->shape = table_of(spec->dimensions, sizeof *spec->shape);
    if (!spec->shape)
        return -1;
    memcpy(spec->shape, shape, (size_t)spec->dimensions * sizeof *shape);
    return array_size(spec->dtype, spec->dimensions, shape, &spec->size);
}

static Spec *read_specs(PyObject *owner, const char *name, int *count)
{
    Py_ssize_t length;
    PyObject *tuple = tuple_attribute(owner, name, &length);
    Spec *specs = tuple ? table_of(length, sizeof *specs) : NULL;
    *count = specs ? (int)length : 0;
    for (int i = 0; i < *count; i++) {
        if (read_spec(&specs[i], PyTuple_GET_ITEM(tuple, i)) < 0) {
            Py_DECREF(tuple);
            return specs; /* the error is set; `specs` is freed with the tables */
        }
    }
    Py_XDECREF(tuple);
    return specs;
}

static void free_specs(Spec *specs, int count)
{
    for (int i = 0; specs && i < count; i++)
        PyMem_Free(specs[i].shape);
    PyMem_Free(specs);
}

/* Numbers of a tuple of ints; None is -1. */
static int64_t *read_numbers(PyObject *owner, const char *name, Py_ssize_t *count)
{
    PyObject *tuple = tuple_attribute(owner, name, count);
    int64_t *numbers = tuple ? table_of(*count, sizeof *numbers) : NULL;
    for (Py_ssize_t i = 0; numbers && i < *count; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, i);
        numbers[i] = item == Py_None ? -1 : PyLong_AsLongLong(item);
    }
    Py_XDECREF(tuple);
    return numbers;
}

/* ---- buffers ---- */

/* All constants in one block, each aligned; `starts` tells where. */
static int read_constants(Tables *tables, PyObject *plan, size_t **starts)
{
    Py_ssize_t count;
    PyObject *constants = tuple_attribute(plan, "constants", &count);
    *starts = constants ? table_of(count, sizeof **starts) : NULL;
    size_t total = 0;
    for (Py_ssize_t i = 0; *starts && i < count; i++) {
        PyObject *constant = PyTuple_GET_ITEM(constants, i);
        if (!PyBytes_Check(constant)) {
            PyErr_SetString(PyExc_TypeError, "constants of a plan must be bytes");
            break;
        }
        (*starts)[i] = total;
        total += ALIGN_UP(PyBytes_GET_SIZE(constant));
    }
    if (!PyErr_Occurred() && total)
        tables->constants = storage_new(total);
    for (Py_ssize_t i = 0; tables->constants && !PyErr_Occurred() && i < count; i++) {
        PyObject *constant = PyTuple_GET_ITEM(constants, i);
        memcpy((char *)tables->constants->data + (*starts)[i], PyBytes_AS_STRING(constant),
               (size_t)PyBytes_GET_SIZE(constant));
    }
    Py_XDECREF(constants);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_slot(Slot *slot, PyObject *buffer, const size_t *constant_starts)
{
    PyObject *kind = PyObject_GetAttrString(buffer, "kind");
    const char *name = kind ? PyUnicode_AsUTF8(kind) : NULL;
    if (!name) {
        Py_XDECREF(kind);
        return -1;
    }
    slot->index = (size_t)number_attribute(buffer, "index");
    slot->size_bytes = (size_t)number_attribute(buffer, "size_bytes");
    if (strcmp(name, "input") == 0) {
        slot->place = FROM_INPUT;
    } else if (strcmp(name, "output") == 0) {
        slot->place = FROM_OUTPUT;
    } else if (strcmp(name, "temp") == 0) {
        slot->place = FROM_ARENA;
        slot->index = (size_t)number_attribute(buffer, "offset");
    } else if (strcmp(name, "moving") == 0) {
        slot->place = FROM_LOOP;
    } else {
        slot->place = FROM_CONSTANT;
        slot->index = PyErr_Occurred() ? 0 : constant_starts[slot->index];
    }
    Py_DECREF(kind);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_slots(Tables *tables, PyObject *plan)
{
    size_t *starts = NULL;
    Py_ssize_t count = 0;
    PyObject *buffers = NULL;
    if (read_constants(tables, plan, &starts) == 0)
        buffers = tuple_attribute(plan, "buffers", &count);
    tables->slots = buffers ? table_of(count, sizeof *tables->slots) : NULL;
    tables->slot_count = (int)count;
    for (Py_ssize_t i = 0; tables->slots && i < count; i++)
        if (read_slot(&tables->slots[i], PyTuple_GET_ITEM(buffers, i), starts) < 0)
            break;
    Py_XDECREF(buffers);
    PyMem_Free(starts);
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- steps ---- */

static int add_buffers(Step *step, PyObject *source, const char *name)
{
    Py_ssize_t count;
    int64_t *numbers = read_numbers(source, name, &count);
    int *grown = numbers ? PyMem_Realloc(step->buffers,
                                         (size_t)(step->buffer_count + count + 1) * sizeof *grown)
                         : NULL;
    if (!grown) {
        PyMem_Free(numbers);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return -1;
    }
    step->buffers = grown;
    for (Py_ssize_t i = 0; i < count; i++)
        grown[step->buffer_count + i] = (int)numbers[i];
    step->buffer_count += (int)count;
    PyMem_Free(numbers);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_kernel_step(Step *step, PyObject *source, PyObject *addresses, Tables *tables)
{
    Py_ssize_t size_count;
    int64_t kernel = number_attribute(source, "kernel");
    int64_t scratch = number_attribute(source, "scratch_bytes");
    step->extent = number_attribute(source, "extent");
    step->grain = number_attribute(source, "grain");
    step->sizes = read_numbers(source, "sizes", &size_count);
    if (PyErr_Occurred() || add_buffers(step, source, "buffers") < 0)
        return -1;
    step->kernel = (Kernel)(uintptr_t)PyLong_AsUnsignedLongLong(
        PyList_GET_ITEM(addresses, (Py_ssize_t)kernel));
    if (!step->kernel && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "the address of kernel %lld is 0", (long long)kernel);
    bool parallel = step->grain > 0 && step->extent > step->grain;
    step->kind = parallel ? STEP_PARALLEL : STEP_SERIAL;
    if (!parallel)
        step->grain = step->extent;
    tables->has_parallel |= parallel;
    if (ALIGN_UP(scratch) > tables->scratch_bytes)
        tables->scratch_bytes = ALIGN_UP(scratch);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_host_step(Step *step, PyObject *source, PyObject *functions)
{
    int output_specs = 0, input_specs = 0;
    step->kind = STEP_HOST;
    int64_t function = number_attribute(source, "function");
    if (PyErr_Occurred() || add_buffers(step, source, "inputs") < 0)
        return -1;
    step->function = PyTuple_GET_ITEM(functions, (Py_ssize_t)function);
    step->input_count = step->buffer_count;
    if (add_buffers(step, source, "outputs") < 0)
        return -1;
    Spec *first = read_specs(source, "input_specs", &input_specs);
    Spec *second = PyErr_Occurred() ? NULL : read_specs(source, "output_specs", &output_specs);
    step->specs = second ? table_of(step->buffer_count, sizeof *step->specs) : NULL;
    if (!step->specs || PyErr_Occurred()) {
        free_specs(first, input_specs);
        free_specs(second, output_specs);
        return -1;
    }
    memcpy(step->specs, first, (size_t)input_specs * sizeof *first);
    memcpy(step->specs + input_specs, second, (size_t)output_specs * sizeof *second);
    PyMem_Free(first); /* the shapes have moved on */
    PyMem_Free(second);
    return 0;
}

static int read_branch_step(Step *step, PyObject *source)
{
    Py_ssize_t count;
    step->kind = STEP_BRANCH;
    step->ends = read_numbers(source, "ends", &count);
    step->end_count = (int)count;
    step->buffers = table_of(1, sizeof *step->buffers);
    if (!step->buffers || PyErr_Occurred())
        return -1;
    step->buffers[0] = (int)number_attribute(source, "index");
    step->buffer_count = 1;
    return PyErr_Occurred() ? -1 : 0;
}

static int read_carries(Step *step, PyObject *source)
{
    Py_ssize_t count;
    PyObject *pairs = tuple_attribute(source, "carries", &count);
    step->carries = pairs ? table_of(count, sizeof *step->carries) : NULL;
    step->carry_count = step->carries ? (int)count : 0;
    for (int i = 0; i < step->carry_count; i++)
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "ii", &step->carries[i].current,
                              &step->carries[i].next))
            break;
    Py_XDECREF(pairs);
    return PyErr_Occurred() ? -1 : 0;
}

static int read_loop_step(Step *step, PyObject *source)
{
    Py_ssize_t count;
    PyObject *reverse = PyObject_GetAttrString(source, "reverse");
    step->kind = STEP_LOOP;
    step->reverse = reverse == Py_True;
    Py_XDECREF(reverse);
    step->length = number_attribute(source, "length");
    step->predicate = (int)number_attribute(source, "predicate");
    step->end_count = 2;
    step->ends = table_of(2, sizeof *step->ends);
    step->moving = step->ends ? read_numbers(source, "moving", &count) : NULL;
    if (!step->moving || PyErr_Occurred())
        return -1;
    step->moving_count = (int)count;
    step->ends[0] = number_attribute(source, "condition_end");
    step->ends[1] = number_attribute(source, "end");
    return PyErr_Occurred() ? -1 : read_carries(step, source);
}

static int read_copy_step(Step *step, PyObject *source)
{
    step->kind = STEP_COPY;
    step->buffers = table_of(2, sizeof *step->buffers);
    if (!step->buffers)
        return -1;
    step->buffer_count = 2;
    step->buffers[0] = (int)number_attribute(source, "source");
    step->buffers[1] = (int)number_attribute(source, "target");
    return PyErr_Occurred() ? -1 : 0;
}

static int64_t times(int64_t ns, int64_t count)
{
    int64_t product;
    return __builtin_mul_overflow(ns, count, &product) ? INT64_MAX / 4 : product;
}

/* Time of the steps from `begin` to `end`, given that of each step without its blocks. */
static int64_t range_ns(const Tables *tables, const int64_t *own_ns, int64_t begin, int64_t end)
{
    int64_t total = 0;
    for (int64_t number = begin; number < end;) {
        const Step *step = &tables->steps[number];
        int64_t blocks = 0, first = number + 1;
        for (int i = 0; i < step->end_count; first = step->ends[i++])
            blocks += range_ns(tables, own_ns, first, step->ends[i]);
        if (step->kind == STEP_LOOP)
            blocks = step->length < 0 ? LONG_WORK_NS : times(blocks + STEP_NS, step->length);
        total += own_ns[number] + STEP_NS + blocks;
        if (total < 0 || total > INT64_MAX / 4)
            return INT64_MAX / 4;
        number = first;
    }
    return total;
}

/* Estimated time of a step, from what the compiler says and from the bytes it touches. */
static int64_t estimate_ns(const Tables *tables, const Step *step, PyObject *source)
{
    int64_t bytes = 0, stated = 0;
    if (step->kind == STEP_BRANCH)
        return 0;
    for (int i = 0; i < step->buffer_count; i++)
        bytes += (int64_t)tables->slots[step->buffers[i]].size_bytes;
    if (step->kind == STEP_SERIAL || step->kind == STEP_PARALLEL)
        stated = number_attribute(source, "work_ns");
    return stated > bytes / BYTES_PER_NS ? stated : bytes / BYTES_PER_NS;
}

static int note_operands(Tables *tables, Step *step)
{
    step->operands = table_of(step->buffer_count, sizeof *step->operands);
    if (!step->operands)
        return -1;
    for (int i = 0; i < step->buffer_count; i++)
        step->operands[i] = tables->slots[step->buffers[i]];
    if (step->buffer_count > tables->most_buffers)
        tables->most_buffers = step->buffer_count;
    return 0;
}

static bool is_simple(const Tables *tables)
{
    bool simple = !(tables->has_parallel || tables->has_host || tables->has_aliases
                    || tables->is_long)
               && tables->arena_bytes + tables->scratch_bytes <= SIMPLE_BYTES
               && tables->most_buffers <= SIMPLE_BUFFERS;
    for (int i = 0; simple && i < tables->step_count; i++)
        simple = tables->steps[i].kind == STEP_SERIAL;
    return simple;
}

static int read_step(Tables *tables, Step *step, PyObject *source, PyObject *addresses,
                     PyObject *functions)
{
    if (PyObject_HasAttrString(source, "kernel"))
        return read_kernel_step(step, source, addresses, tables);
    if (PyObject_HasAttrString(source, "function")) {
        tables->has_host = true;
        return read_host_step(step, source, functions);
    }
    if (PyObject_HasAttrString(source, "ends"))
        return read_branch_step(step, source);
    if (PyObject_HasAttrString(source, "carries"))
        return read_loop_step(step, source);
    return read_copy_step(step, source);
}

static int read_steps(Tables *tables, PyObject *plan, PyObject *addresses, PyObject *functions)
{
    Py_ssize_t count;
    PyObject *steps = tuple_attribute(plan, "instructions", &count);
    tables->steps = steps ? table_of(count, sizeof *tables->steps) : NULL;
    tables->step_count = tables->steps ? (int)count : 0;
    int64_t *own_ns = tables->steps ? table_of(count, sizeof *own_ns) : NULL;
    for (int i = 0; own_ns && i < tables->step_count && !PyErr_Occurred(); i++) {
        PyObject *source = PyTuple_GET_ITEM(steps, i);
        Step *step = &tables->steps[i];
        if (read_step(tables, step, source, addresses, functions) < 0
            || note_operands(tables, step) < 0)
            break;
        own_ns[i] = estimate_ns(tables, step, source);
        step->is_quick = own_ns[i] < QUICK_NS;
    }
    if (own_ns && !PyErr_Occurred())
        tables->is_long = range_ns(tables, own_ns, 0, count) >= LONG_WORK_NS;
    PyMem_Free(own_ns);
    Py_XDECREF(steps);
    return PyErr_Occurred() ? -1 : 0;
}

/* ---- results ---- */

static int64_t *read_optional(PyObject *plan, const char *name, int outputs)
{
    Py_ssize_t count;
    int64_t *numbers = read_numbers(plan, name, &count);
    if (numbers && count == 0 && outputs) {
        PyMem_Free(numbers);
        numbers = table_of(outputs, sizeof *numbers);
        for (int i = 0; numbers && i < outputs; i++)
            numbers[i] = -1;
    }
    return numbers;
}

static int read_aliases(Tables *tables, PyObject *plan)
{
    Py_ssize_t count;
    PyObject *pairs = tuple_attribute(plan, "aliases", &count);
    tables->aliases = pairs ? table_of(tables->output_count, sizeof *tables->aliases) : NULL;
    for (int i = 0; tables->aliases && i < tables->output_count; i++)
        tables->aliases[i] = -1;
    for (Py_ssize_t i = 0; tables->aliases && i < count; i++) {
        long long output, argument;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(pairs, i), "LL", &output, &argument))
            break;
        tables->aliases[output] = argument;
        tables->has_aliases = true;
    }
    Py_XDECREF(pairs);
    return PyErr_Occurred() ? -1 : 0;
}

int tables_build(Tables *tables, PyObject *plan, PyObject *addresses, PyObject *functions)
{
    tables->inputs = read_specs(plan, "inputs", &tables->input_count);
    if (PyErr_Occurred())
        return -1;
    tables->outputs = read_specs(plan, "outputs", &tables->output_count);
    if (PyErr_Occurred())
        return -1;
    tables->arena_bytes = ALIGN_UP(number_attribute(plan, "arena_bytes"));
    if (PyErr_Occurred() || read_slots(tables, plan) < 0
        || read_steps(tables, plan, addresses, functions) < 0 || read_aliases(tables, plan) < 0)
        return -1;
    tables->forward = read_optional(plan, "forward", tables->output_count);
    tables->duplicates = read_optional(plan, "duplicates", tables->output_count);
    tables->is_simple = is_simple(tables);
    return tables->forward && tables->duplicates && !PyErr_Occurred() ? 0 : -1;
}

void tables_clear(Tables *tables)
{
    free_specs(tables->inputs, tables->input_count);
    free_specs(tables->outputs, tables->output_count);
    for (int i = 0; i < tables->step_count; i++) {
        Step *step = &tables->steps[i];
        if (step->specs)
            free_specs(step->specs, step->buffer_count);
        PyMem_Free(step->buffers);
        PyMem_Free(step->operands);
        PyMem_Free(step->sizes);
        PyMem_Free(step->ends);
        PyMem_Free(step->moving);
        PyMem_Free(step->carries);
    }
    PyMem_Free(tables->steps);
    PyMem_Free(tables->slots);
    PyMem_Free(tables->aliases);
    PyMem_Free(tables->forward);
    PyMem_Free(tables->duplicates);
    storage_drop(tables->constants);
    memset(tables, 0, sizeof *tables);
}
