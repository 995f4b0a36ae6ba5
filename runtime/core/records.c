/* Records: what is known for the signatures of one function's calls, in a table by hash.
 *
 * In: signatures, and lists of programs for them. Out: the record of a call's signature. A record is
 * alive while the table or a call refers to it.
 * Must not know how programs run.
 */
#include "dispatch.h"

#define MOST_RECORDS 4096 /* static arguments may differ at each call */

/* ---- records ---- */

void record_drop(Record *record)
{
    if (!record || --record->references)
        return;
    for (int i = 0; i < record->object_count; i++)
        Py_DECREF(record->objects[i]);
    Py_XDECREF(record->callees);
    PyMem_Free(record->words);
    PyMem_Free(record->objects);
    PyMem_Free(record->order);
    PyMem_Free(record->place);
    PyMem_Free(record->donated);
    PyMem_Free(record);
}

/* A copy with room for one more. */
static void *copy_of(const void *table, int count, size_t size)
{
    void *copy = PyMem_Malloc((size_t)(count + 1) * size);
    if (copy)
        memcpy(copy, table, (size_t)count * size);
    else
        PyErr_NoMemory();
    return copy;
}

/* Where the leaves do not count in the order of the walk, note how they do. */
static int take_order(Record *record, Signature *s)
{
    int i = 0;
    while (i < s->leaf_count && s->order[i] == i)
        i++;
    if (i == s->leaf_count)
        return 0;
    record->place = PyMem_Malloc((size_t)s->leaf_count * sizeof *record->place);
    if (!record->place) {
        PyErr_NoMemory();
        return -1;
    }
    record->order = s->order;
    s->order = NULL;
    for (i = 0; i < s->leaf_count; i++)
        record->place[record->order[i]] = i;
    return 0;
}

/* A record of the signature, which gives its order away. */
static Record *record_new(Signature *s, uint64_t hash, PyObject *callees)
{
    Record *record = PyMem_Calloc(1, sizeof *record);
    if (!record)
        return (Record *)PyErr_NoMemory();
    record->references = 1;
    record->hash = hash;
    record->word_count = s->word_count;
    record->leaf_count = s->leaf_count;
    record->words = copy_of(s->words, s->word_count, sizeof *s->words);
    record->objects = record->words ? copy_of(s->objects, s->object_count, sizeof *s->objects)
                                    : NULL;
    if (!record->objects) {
        record_drop(record);
        return NULL;
    }
    record->object_count = s->object_count;
    for (int i = 0; i < s->object_count; i++)
        Py_INCREF(record->objects[i]);
    record->words[s->word_count] = WORD_END;
    record->callees = Py_NewRef(callees);
    if (take_order(record, s) < 0) {
        record_drop(record);
        return NULL;
    }
    return record;
}

static bool has_same_words(const Record *record, const Signature *s)
{
    return record->word_count == s->word_count && record->object_count == s->object_count
        && memcmp(record->words, s->words, (size_t)s->word_count * sizeof *s->words) == 0;
}

static bool is_identical(const Record *record, const Signature *s)
{
    if (!has_same_words(record, s))
        return false;
    for (int i = 0; i < s->object_count; i++)
        if (record->objects[i] != s->objects[i])
            return false;
    return true;
}

static int is_equal(const Record *record, const Signature *s)
{
    int same = has_same_words(record, s);
    for (int i = 0; same == 1 && i < s->object_count; i++)
        same = is_same_value(record->objects[i], s->objects[i]);
    return same;
}

/* ---- the table ---- */

void records_forget(RecordTable *self)
{
    Record **slots = self->slots, *latest = self->latest;
    size_t count = self->slot_count;
    self->slots = NULL;
    self->latest = NULL;
    self->slot_count = self->record_count = 0;
    record_drop(latest);
    for (size_t i = 0; i < count; i++)
        record_drop(slots[i]);
    PyMem_Free(slots);
}

static void place(Record **slots, size_t count, Record *record)
{
    size_t at = record->hash & (count - 1);
    while (slots[at])
        at = (at + 1) & (count - 1);
    slots[at] = record;
}

static int make_room(RecordTable *self)
{
    if (self->record_count >= MOST_RECORDS)
        records_forget(self);
    if (self->record_count * 2 < self->slot_count)
        return 0;
    size_t count = self->slot_count ? self->slot_count * 2 : 8;
    Record **slots = PyMem_Calloc(count, sizeof *slots);
    if (!slots) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < self->slot_count; i++)
        if (self->slots[i])
            place(slots, count, self->slots[i]);
    PyMem_Free(self->slots);
    self->slots = slots;
    self->slot_count = count;
    return 0;
}

/* Comparison may run code that changes the table: then the search is given up. */
Record *records_search(RecordTable *self, const Signature *s, uint64_t hash)
{
    Record **slots = self->slots;
    size_t count = self->slot_count;
    for (size_t at = hash; count && slots[at & (count - 1)]; at++) {
        Record *record = slots[at & (count - 1)];
        if (record->hash != hash)
            continue;
        record->references++;
        int same = is_equal(record, s);
        if (same == 1)
            return record;
        record_drop(record);
        if (same < 0 || self->slots != slots)
            return NULL;
    }
    return NULL;
}

Record *records_find(RecordTable *self, const Signature *s)
{
    Record *latest = self->latest;
    if (latest && is_identical(latest, s)) {
        latest->references++;
        return latest;
    }
    uint64_t hash;
    if (!self->slot_count || signature_hash(s, &hash) < 0)
        return NULL;
    Record *record = records_search(self, s, hash);
    if (record) {
        record->references++;
        latest = self->latest;
        self->latest = record;
        record_drop(latest);
    }
    return record;
}

int records_add(RecordTable *self, Signature *s, uint64_t hash, PyObject *callees, bool *donated)
{
    Record *record = make_room(self) < 0 ? NULL : record_new(s, hash, callees);
    if (!record) {
        PyMem_Free(donated);
        return -1;
    }
    record->donated = donated;
    record->is_matchable = !donated && is_matchable(record->words, record->word_count);
    place(self->slots, self->slot_count, record);
    self->record_count++;
    return 0;
}
