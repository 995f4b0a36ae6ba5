/* Runs of a plan's tables.
 *
 * In: Arrays. Out: Arrays, or the first failed check in program order, whatever the threads did.
 * A run takes its results and its arena, executes the steps, and gives everything back; arguments
 * are pinned meanwhile, so that neither delete() nor donation can take their memory away.
 */
#include "core.h"

#define LOCAL_BYTES 8192
#define MOST_LOOPS 16    /* around a failed check that are told */
#define QUICK_CHUNKS 256 /* run between two polls */

/* One call of one program. */
typedef struct {
    const Tables *tables;
    Array **arguments;
    void **input_data;  /* a donated argument loses its memory before the run */
    int argument_count; /* pinned so far */
    int result_count;   /* made so far */
    PyObject **results;
    char *arena, *scratch;
    void **pointers; /* per slot */
    void **operands; /* of the current step */
    Storage *block;  /* what the four lie in, or NULL if on the stack */
    int threads;
    bool native;     /* Python is not held */
    Native stretch;
    volatile int32_t *stop;
    const Step *step;
    StepTime *times; /* NULL: nobody wants to know */
    int64_t clock_ns; /* when the last step ended */
    atomic_flag fault_lock;
    Fault fault;     /* the smallest of the current step */
    bool failed;
    atomic_bool stopped;
    int unpolled;    /* quick chunks since the last poll */
    int number;      /* the step that failed */
    int64_t loops[MOST_LOOPS]; /* the steps at which the loops around it were, innermost first */
    int loop_count;
} Run;

PyObject *kernel_fault;

/* ---- kernels ---- */

static void note_failure(Run *run, int32_t code, const Fault *fault)
{
    if (code == 2) {
        atomic_store(&run->stopped, true);
        return;
    }
    while (atomic_flag_test_and_set_explicit(&run->fault_lock, memory_order_acquire))
        ;
    bool earlier = fault->site < run->fault.site
                || (fault->site == run->fault.site && fault->index < run->fault.index);
    if (!run->failed || earlier)
        run->fault = *fault;
    run->failed = true;
    atomic_flag_clear_explicit(&run->fault_lock, memory_order_release);
}

static void run_chunk(void *context, int64_t index, int worker)
{
    Run *run = context;
    const Step *step = run->step;
    if (*run->stop) {
        atomic_store(&run->stopped, true);
        return;
    }
    int64_t begin = index * step->grain;
    int64_t end = step->extent - begin > step->grain ? begin + step->grain : step->extent;
    Fault fault = {INT64_MAX, INT64_MAX, 0, run->stop,
                   run->scratch + (size_t)worker * run->tables->scratch_bytes};
    int32_t code = step->kernel(run->operands, step->sizes, begin, end, &fault);
    if (code)
        note_failure(run, code, &fault);
    if (worker == 0 && run->native && !(step->is_quick && ++run->unpolled < QUICK_CHUNKS)) {
        run->unpolled = 0;
        native_poll(&run->stretch);
    }
}

static void poll_run(void *context)
{
    Run *run = context;
    if (run->native)
        native_poll(&run->stretch);
}

static void run_kernel(Run *run)
{
    const Step *step = run->step;
    if (step->extent == 0)
        return;
    run->fault = (Fault){.site = INT64_MAX, .index = INT64_MAX};
    if (step->kind == STEP_SERIAL) {
        run_chunk(run, 0, 0);
        return;
    }
    int64_t count = (step->extent - 1) / step->grain + 1;
    int threads = count < run->threads ? (int)count : run->threads;
    PoolResult result = run->native && threads > 1
        ? pool_run(run_chunk, poll_run, run, count, threads) : POOL_BUSY;
    if (result == POOL_BUSY)
        for (int64_t index = 0; index < count; index++)
            run_chunk(run, index, 0);
    if (result == POOL_LOST)
        atomic_store(&run->stopped, true);
}

/* ---- host calls ---- */

/* The array whose memory a slot is, or NULL. A donated argument's memory is a result's by now. */
static Array *slot_owner(const Run *run, const Slot *slot)
{
    while (slot->place == FROM_LOOP)
        slot = &run->tables->slots[slot->index];
    if (slot->place == FROM_OUTPUT)
        return (Array *)run->results[slot->index];
    if (slot->place != FROM_INPUT)
        return NULL;
    Array *argument = run->arguments[slot->index];
    for (int i = 0; !argument->data && i < run->tables->output_count; i++)
        if (run->tables->aliases[i] == (int64_t)slot->index)
            argument = (Array *)run->results[i];
    return argument;
}

static PyObject *host_views(Run *run, int from, int to, bool writable)
{
    const Step *step = run->step;
    PyObject *views = PyTuple_New(to - from);
    for (int i = from; views && i < to; i++) {
        const Slot *slot = &run->tables->slots[step->buffers[i]];
        const Spec *spec = &step->specs[i];
        while (slot->place == FROM_LOOP)
            slot = &run->tables->slots[slot->index];
        Storage *block = slot->place == FROM_ARENA      ? run->block
                         : slot->place == FROM_CONSTANT ? run->tables->constants
                                                        : NULL;
        PyObject *view = numpy_view(spec->dtype, spec->dimensions, spec->shape,
                                    run->operands[i], slot_owner(run, slot), block, writable);
        if (!view)
            Py_CLEAR(views);
        else
            PyTuple_SET_ITEM(views, i - from, view);
    }
    return views;
}

static int run_host(Run *run)
{
    const Step *step = run->step;
    PyObject *inputs = host_views(run, 0, step->input_count, false);
    PyObject *outputs = inputs ? host_views(run, step->input_count, step->buffer_count, true)
                               : NULL;
    PyObject *arguments[] = {inputs, outputs};
    PyObject *result = outputs ? PyObject_Vectorcall(step->function, arguments, 2, NULL) : NULL;
    Py_XDECREF(inputs);
    Py_XDECREF(outputs);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* ---- steps ---- */

static void gather_operands(Run *run)
{
    const Step *step = run->step;
    for (int i = 0; i < step->buffer_count; i++)
        run->operands[i] = run->pointers[step->buffers[i]];
}

static void leave_python(Run *run)
{
    native_begin(&run->stretch, run->tables->is_long);
    run->stop = run->stretch.stop;
    run->native = true;
}

static void enter_python(Run *run)
{
    if (native_end(&run->stretch))
        atomic_store(&run->stopped, true);
    run->native = false;
}

static int raise_fault(const Fault *found, int number, int loop_count, const int64_t *loops)
{
    if (found->site == INT64_MAX) {
        PyErr_Format(PyExc_SystemError, "instruction %d failed without naming a check", number);
        return -1;
    }
    PyObject *steps = shape_to_tuple(loop_count, loops);
    PyObject *fault = steps ? PyObject_CallFunction(kernel_fault, "iLLLO", number,
                                                    (long long)found->site,
                                                    (long long)found->index,
                                                    (long long)found->value, steps)
                            : NULL;
    if (fault)
        PyErr_SetObject(kernel_fault, fault);
    Py_XDECREF(steps);
    Py_XDECREF(fault);
    return -1;
}

static int raise_failure(Run *run)
{
    if (PyErr_Occurred())
        return -1;
    if (atomic_load(&run->stopped)) {
        if (PyErr_CheckSignals() == 0)
            PyErr_SetString(PyExc_KeyboardInterrupt, "a compiled function was stopped");
        return -1;
    }
    return raise_fault(&run->fault, run->number, run->loop_count, run->loops);
}

static bool must_end(Run *run)
{
    return run->failed || *run->stop || atomic_load_explicit(&run->stopped, memory_order_relaxed);
}

/* A host call holds Python meanwhile. */
static bool run_host_step(Run *run)
{
    bool left = run->native;
    if (left)
        enter_python(run);
    bool failed = PyErr_Occurred() || atomic_load(&run->stopped) || run_host(run) < 0;
    run->stop = &run->stretch.own_stop;
    if (left && !failed)
        leave_python(run);
    return failed;
}

/* A step without blocks; whether the run must end. */
static bool run_plain_step(Run *run, const Step *step)
{
    run->step = step;
    gather_operands(run);
    if (step->kind == STEP_HOST && run_host_step(run))
        return true;
    if (step->kind == STEP_COPY && run->operands[0] != run->operands[1])
        memcpy(run->operands[1], run->operands[0],
               run->tables->slots[step->buffers[0]].size_bytes);
    if (step->kind == STEP_SERIAL || step->kind == STEP_PARALLEL)
        run_kernel(run);
    return must_end(run);
}

static bool run_branch(Run *run, int64_t number);
static bool run_loop(Run *run, int64_t number);

/* All that passed since the step before counts as this one's. */
static void note_time(Run *run, int64_t number, bool has_blocks)
{
    StepTime *own = &run->times[number];
    atomic_fetch_add_explicit(&own->calls, 1, memory_order_relaxed);
    if (has_blocks)
        return;
    int64_t now = now_ns();
    atomic_fetch_add_explicit(&own->ns, now - run->clock_ns, memory_order_relaxed);
    run->clock_ns = now;
}

/* The steps from `begin` to `end`; whether the run must end. */
static bool run_block(Run *run, int64_t begin, int64_t end)
{
    for (int64_t number = begin; number < end;) {
        const Step *step = &run->tables->steps[number];
        bool failed = step->kind == STEP_BRANCH ? run_branch(run, number)
                    : step->kind == STEP_LOOP   ? run_loop(run, number)
                                                : run_plain_step(run, step);
        if (failed) {
            if (!step->end_count)
                run->number = (int)number;
            return true;
        }
        if (run->times)
            note_time(run, number, step->end_count > 0);
        number = step->end_count ? step->ends[step->end_count - 1] : number + 1;
    }
    return false;
}

static bool run_branch(Run *run, int64_t number)
{
    const Step *step = &run->tables->steps[number];
    int32_t index = *(const int32_t *)run->pointers[step->buffers[0]];
    index = index < 0 ? 0 : index < step->end_count ? index : step->end_count - 1;
    return run_block(run, index ? step->ends[index - 1] : number + 1, step->ends[index]);
}

/* Set moving slots to the slices of one step of a loop. */
static void move_slots(Run *run, const Step *step, int64_t at)
{
    int64_t place = step->reverse ? step->length - 1 - at : at;
    for (int i = 0; i < step->moving_count; i++) {
        const Slot *slot = &run->tables->slots[step->moving[i]];
        char *whole = run->pointers[slot->index];
        run->pointers[step->moving[i]] = whole + (size_t)place * slot->size_bytes;
    }
}

static void swap_carries(Run *run, const Step *step)
{
    for (int i = 0; i < step->carry_count; i++) {
        void **current = &run->pointers[step->carries[i].current];
        void **next = &run->pointers[step->carries[i].next], *before = *current;
        *current = *next;
        *next = before;
    }
}

static bool run_loop(Run *run, int64_t number)
{
    const Step *step = &run->tables->steps[number];
    bool failed = false;
    for (int64_t at = 0; step->length < 0 || at < step->length; at++) {
        failed = run_block(run, number + 1, step->ends[0]);
        if (!failed && step->length < 0 && !*(const uint8_t *)run->pointers[step->predicate])
            return false;
        if (!failed) {
            move_slots(run, step, at);
            failed = run_block(run, step->ends[0], step->ends[1]) || must_end(run);
        }
        if (failed) {
            if (run->loop_count < MOST_LOOPS)
                run->loops[run->loop_count++] = at;
            return true;
        }
        swap_carries(run, step);
        if (run->native && ++run->unpolled >= QUICK_CHUNKS) {
            run->unpolled = 0;
            native_poll(&run->stretch);
        }
    }
    return false;
}

static int run_steps(Run *run)
{
    const Tables *tables = run->tables;
    if (tables->is_long || (tables->has_parallel && run->threads > 1))
        leave_python(run);
    if (run->times)
        run->clock_ns = now_ns();
    bool failed = run_block(run, 0, tables->step_count);
    if (run->native)
        enter_python(run);
    return failed ? raise_failure(run) : 0;
}

/* ---- arguments and results ---- */

static int wrong_argument(const Tables *tables, int number, PyObject *given)
{
    const Spec *spec = &tables->inputs[number];
    const Array *array = (const Array *)given;
    PyObject *expected = shape_to_tuple(spec->dimensions, spec->shape), *shape = NULL;
    if (!ARRAY_CHECK(given))
        PyErr_Format(PyExc_TypeError, "argument %d must be an Array, not %.100s", number,
                     Py_TYPE(given)->tp_name);
    else if (expected && (shape = shape_to_tuple(array->dimensions, array->shape)))
        PyErr_Format(PyExc_TypeError,
                     "argument %d has type %S%R, but the program was compiled for %S%R", number,
                     dtype_rows[array->dtype].dtype, shape,
                     dtype_rows[spec->dtype].dtype, expected);
    Py_XDECREF(shape);
    Py_XDECREF(expected);
    return -1;
}

bool array_fits(const Spec *spec, const Array *array)
{
    if (array->dtype != spec->dtype || array->dimensions != spec->dimensions)
        return false;
    for (int i = 0; i < spec->dimensions; i++)
        if (array->shape[i] != spec->shape[i])
            return false;
    return true;
}

int check_arguments(const Tables *tables, PyObject *const *given, Py_ssize_t count,
                    Py_ssize_t known)
{
    if (count != tables->input_count) {
        PyErr_Format(PyExc_TypeError, "the program takes %d arguments, not %zd",
                     tables->input_count, count);
        return -1;
    }
    for (Py_ssize_t i = known; i < count; i++) {
        Array *array = (Array *)given[i];
        if (!ARRAY_CHECK(array) || !array_fits(&tables->inputs[i], array))
            return wrong_argument(tables, (int)i, given[i]);
        if (array_check(array) < 0)
            return -1;
    }
    return 0;
}

/* Fetch what lies elsewhere. That may run Python, which may delete what was there before. */
static int bring_arguments(const Tables *tables, PyObject *const *given, Py_ssize_t known)
{
    bool ran_python = false;
    for (Py_ssize_t i = known; i < tables->input_count; i++) {
        Array *array = (Array *)given[i];
        ran_python |= !array->data;
        if (!array->data && !array_data(array))
            return -1;
    }
    for (int i = 0; ran_python && i < tables->input_count; i++)
        if (array_check((Array *)given[i]) < 0)
            return -1;
    return 0;
}

static void pin_arguments(Run *run, PyObject *const *given)
{
    for (int i = 0; i < run->tables->input_count; i++) {
        Array *array = (Array *)Py_NewRef(given[i]);
        array_pin(array);
        run->arguments[i] = array;
        run->input_data[i] = array->data;
    }
    run->argument_count = run->tables->input_count;
}

/* The donated array's memory, if nobody else can see it; the array is deleted at once. */
static Storage *take_storage(Array *array)
{
    Storage *storage = array->storage;
    if (!storage || array->pins != 1 || array->deleted || storage->references != 1
        || storage->release || array->data != storage->data)
        return NULL;
    array->storage = NULL;
    array->data = NULL;
    array->deleted = true;
    return storage;
}

static Array *new_of_spec(const Spec *spec)
{
    return array_of_size(spec->dtype, spec->dimensions, spec->shape, spec->weak, spec->size);
}

static Array *new_result(Run *run, int number)
{
    const Spec *spec = &run->tables->outputs[number];
    int64_t donated = run->tables->aliases[number];
    Storage *storage = donated < 0 ? NULL : take_storage(run->arguments[donated]);
    if (!storage)
        return new_of_spec(spec);
    return array_wrap(spec->dtype, spec->dimensions, spec->shape, spec->weak, storage->data,
                      storage);
}

/* The argument that is an output, in the shape of the output. */
static PyObject *passed_on(const Tables *tables, int output, PyObject *argument)
{
    const Spec *spec = &tables->outputs[output];
    Array *array = (Array *)argument;
    if (array->dimensions == spec->dimensions
        && !memcmp(array->shape, spec->shape, (size_t)spec->dimensions * sizeof *spec->shape))
        return Py_NewRef(argument);
    return array_share(array, spec->dimensions, spec->shape, spec->weak);
}

static int make_results(Run *run)
{
    const Tables *tables = run->tables;
    for (int i = 0; i < tables->output_count; i++) {
        PyObject *result;
        if (tables->forward[i] >= 0)
            result = passed_on(tables, i, (PyObject *)run->arguments[tables->forward[i]]);
        else if (tables->duplicates[i] >= 0)
            result = Py_NewRef(run->results[tables->duplicates[i]]);
        else
            result = (PyObject *)new_result(run, i);
        if (!result)
            return -1;
        run->results[i] = result;
        run->result_count++;
    }
    return 0;
}

static void point_at_slots(Run *run)
{
    const Tables *tables = run->tables;
    char *constants = tables->constants ? tables->constants->data : run->arena; /* or all empty */
    for (int i = 0; i < tables->slot_count; i++) {
        const Slot *slot = &tables->slots[i];
        if (slot->place == FROM_INPUT)
            run->pointers[i] = run->input_data[slot->index];
        else if (slot->place == FROM_OUTPUT)
            run->pointers[i] = ((Array *)run->results[slot->index])->data;
        else if (slot->place == FROM_LOOP)
            run->pointers[i] = run->arena; /* until its loop sets it */
        else
            run->pointers[i] = (slot->place == FROM_ARENA ? run->arena : constants) + slot->index;
    }
}

/* ---- a call ---- */

/* Lay the run's own memory out: in `local` if it fits there, else in a block. */
static int prepare_memory(Run *run, char *local)
{
    const Tables *tables = run->tables;
    size_t pointers = (size_t)(2 * tables->input_count + tables->slot_count
                               + tables->most_buffers);
    size_t scratch = 0;
    if (__builtin_mul_overflow(tables->scratch_bytes, (size_t)run->threads, &scratch))
        scratch = SIZE_MAX / 2;
    size_t total = tables->arena_bytes + scratch + pointers * sizeof(void *);
    char *memory = local;
    if (total > LOCAL_BYTES || (tables->has_host && tables->arena_bytes)) {
        run->block = storage_new(total);
        if (!run->block)
            return -1;
        memory = run->block->data;
    }
    run->arena = memory;
    run->scratch = memory + tables->arena_bytes;
    run->arguments = (Array **)(run->scratch + scratch);
    run->input_data = (void **)(run->arguments + tables->input_count);
    run->pointers = run->input_data + tables->input_count;
    run->operands = run->pointers + tables->slot_count;
    return 0;
}

static void finish(Run *run, bool succeeded)
{
    const Tables *tables = run->tables;
    for (int i = 0; succeeded && tables->has_aliases && i < tables->output_count; i++)
        if (tables->aliases[i] >= 0)
            array_delete(run->arguments[tables->aliases[i]]);
    for (int i = 0; i < run->argument_count; i++) {
        array_unpin(run->arguments[i]);
        Py_DECREF(run->arguments[i]);
    }
    storage_drop(run->block);
    for (int i = 0; !succeeded && i < run->result_count; i++)
        Py_DECREF(run->results[i]);
}

static int execute_any(const Tables *tables, PyObject *const *given, PyObject **results)
{
    _Alignas(ALIGNMENT) char local[LOCAL_BYTES];
    Run run;
    run.tables = tables;
    run.times = tables->times;
    run.argument_count = run.result_count = 0;
    run.results = results;
    run.block = NULL;
    run.threads = tables->has_parallel ? pool_threads() : 1;
    run.native = run.failed = false;
    run.unpolled = run.loop_count = run.number = 0;
    run.stretch.own_stop = 0;
    run.stop = &run.stretch.own_stop;
    atomic_flag_clear_explicit(&run.fault_lock, memory_order_relaxed);
    atomic_init(&run.stopped, false);
    if (prepare_memory(&run, local) < 0)
        return -1;
    pin_arguments(&run, given);
    bool ready = make_results(&run) == 0;
    if (ready) {
        point_at_slots(&run);
        ready = run_steps(&run) == 0;
    }
    finish(&run, ready);
    return ready ? 0 : -1;
}

/* ---- a call of a simple program: nothing but a kernel or two, and no Python code meanwhile ---- */

static int run_simple_steps(const Tables *tables, PyObject *const *given, PyObject **results)
{
    _Alignas(ALIGNMENT) char memory[SIMPLE_BYTES];
    void *operands[SIMPLE_BUFFERS];
    int32_t never = 0;
    char *constants = tables->constants ? tables->constants->data : memory;
    for (int number = 0; number < tables->step_count; number++) {
        const Step *step = &tables->steps[number];
        for (int i = 0; i < step->buffer_count; i++) {
            const Slot *slot = &step->operands[i];
            operands[i] = slot->place == FROM_INPUT    ? ((Array *)given[slot->index])->data
                        : slot->place == FROM_OUTPUT   ? ((Array *)results[slot->index])->data
                        : slot->place == FROM_CONSTANT ? constants + slot->index
                                                       : memory + slot->index;
        }
        if (step->extent == 0)
            continue;
        Fault fault = {INT64_MAX, INT64_MAX, 0, &never, memory + tables->arena_bytes};
        if (step->kernel(operands, step->sizes, 0, step->extent, &fault))
            return raise_fault(&fault, number, 0, NULL);
    }
    return 0;
}

static int execute_simple(const Tables *tables, PyObject *const *given, PyObject **results)
{
    int made = 0;
    for (; made < tables->output_count; made++) {
        if (tables->forward[made] >= 0)
            results[made] = passed_on(tables, made, given[tables->forward[made]]);
        else if (tables->duplicates[made] >= 0)
            results[made] = Py_NewRef(results[tables->duplicates[made]]);
        else
            results[made] = (PyObject *)new_of_spec(&tables->outputs[made]);
        if (!results[made])
            break;
    }
    if (made == tables->output_count && run_simple_steps(tables, given, results) == 0)
        return 0;
    while (made > 0)
        Py_DECREF(results[--made]);
    return -1;
}

int run_tables(const Tables *tables, PyObject *const *given, Py_ssize_t count, Py_ssize_t known,
               PyObject **results)
{
    if ((known != count || known != tables->input_count)
        && (check_arguments(tables, given, count, known) < 0
            || bring_arguments(tables, given, known) < 0))
        return -1;
    return tables->is_simple && !tables->times ? execute_simple(tables, given, results)
                                               : execute_any(tables, given, results);
}

int execute_setup(void)
{
    kernel_fault = imported("jitml_runtime.errors", "KernelFault");
    return kernel_fault ? 0 : -1;
}
