/**
 * A restricted reader of pickles as torch.save and training frameworks write them. It builds plain containers, strings,
 * numbers and descriptions of tensors; objects of all other classes become `PickledObject`s, which say what the file says
 * of them. Nothing that the file names is looked up or called, and names whose only use in a pickle is to run something are
 * refused. The file around the pickle is in torch-zip.ts and torch-legacy.ts.
 */
import { PickleBytes } from './pickle-bytes.ts';
import {
  dtypeOf,
  itemBytes,
  type Pickled,
  PickledName,
  PickledObject,
  PickledStorage,
  PickledTensor,
  storageDType,
} from './pickled.ts';

const DICTS: ReadonlySet<string> = new Set([
  'collections.OrderedDict',
  'collections.defaultdict',
  'collections.Counter',
  'builtins.dict',
  '__builtin__.dict',
]);
const TENSOR = /^torch\._utils\._rebuild_tensor(_v[23])?$/;
const PARAMETER = /^torch\._utils\._rebuild_parameter(_with_state)?$/;
const SUBCLASS = /^torch\._tensor\._rebuild_from_type(_v2)?$/;
/** Modules and functions that a checkpoint names only to run something where a careless reader would call them. */
const RUNNERS = new RegExp(
  [
    '^(os|posix|nt|sys|subprocess|_posixsubprocess|commands|shutil|pty|socket|urllib|requests|httplib|ctypes|importlib)\\.',
    '^(runpy|codeop|webbrowser|pickle|_pickle|cPickle|dill|cloudpickle|marshal|pip|pdb|bdb|timeit|cProfile)\\.',
    '^(__builtin__|builtins)\\.(eval|exec|execfile|compile|open|__import__|breakpoint|input)$',
    '^torch\\.(hub\\..*|load|utils\\.cpp_extension\\..*)$',
  ].join('|'),
);
/** torch knows no limit; more axes than this are damage, and each tensor costs as much time as it has axes. */
const MAX_AXES = 64;

/** A place in the stack. */
const MARK = Symbol('mark');
type Item = Pickled | typeof MARK;

/**
 * Reads a pickle.
 * @param bytes the pickle, protocols 2 to 5
 * @param path file name for messages
 * @throws WeightsError for a damaged pickle and for names that would run something; nothing is executed
 */
export function unpickle(bytes: Uint8Array, path: string): Pickled {
  return new Unpickler(bytes, path).run();
}

/** One of several pickles in a file. */
export interface PlacedPickle {
  readonly value: Pickled;
  /** Where the next one begins. */
  readonly end: number;
  /** All storages that it refers to, by key. */
  readonly storages: ReadonlyMap<string, PickledStorage>;
}

/**
 * Reads one of several pickles that lie behind each other in a file whose beginning is known.
 * @param bytes the beginning of the file
 * @param start where the pickle begins
 * @param path file name for messages
 * @returns undefined where it goes on beyond `bytes`
 * @throws WeightsError as `unpickle` does
 */
export function unpickleAt(bytes: Uint8Array, start: number, path: string): PlacedPickle | undefined {
  const machine = new Unpickler(bytes, path);
  machine.at = start;
  try {
    const value = machine.run();
    return { value, end: machine.at, storages: machine.storages };
  } catch (error) {
    if (machine.exhausted) return undefined;
    throw error;
  }
}

const STOP = 0x2e;

/** What each opcode does, under its name in Python's pickletools; an opcode that is not here is refused. */
const OPCODES: ReadonlyMap<number, (machine: Unpickler) => void> = new Map([
  [0x80, m => m.protocol(m.uint(1))], // PROTO
  [0x95, m => void m.take(8)], // FRAME
  [0x4e, m => m.push(null)], // NONE
  [0x88, m => m.push(true)], // NEWTRUE
  [0x89, m => m.push(false)], // NEWFALSE
  [0x4b, m => m.push(m.uint(1))], // BININT1
  [0x4d, m => m.push(m.uint(2))], // BININT2
  [0x4a, m => m.push(m.view.getInt32(m.take(4), true))], // BININT
  [0x8a, m => m.push(m.long(m.uint(1)))], // LONG1
  [0x8b, m => m.push(m.long(m.uint(4)))], // LONG4
  [0x47, m => m.push(m.view.getFloat64(m.take(8), false))], // BINFLOAT
  [0x58, m => m.push(m.text(m.uint(4)))], // BINUNICODE
  [0x8c, m => m.push(m.text(m.uint(1)))], // SHORT_BINUNICODE
  [0x8d, m => m.push(m.text(m.size()))], // BINUNICODE8
  [0x54, m => m.push(m.text(m.uint(4)))], // BINSTRING, a str of Python 2
  [0x55, m => m.push(m.text(m.uint(1)))], // SHORT_BINSTRING
  [0x42, m => m.push(m.raw(m.uint(4)))], // BINBYTES
  [0x43, m => m.push(m.raw(m.uint(1)))], // SHORT_BINBYTES
  [0x8e, m => m.push(m.raw(m.size()))], // BINBYTES8
  [0x96, m => m.push(m.raw(m.size()))], // BYTEARRAY8
  [0x28, m => m.push(MARK)], // MARK
  [0x30, m => m.drop()], // POP
  [0x31, m => void m.popToMark()], // POP_MARK
  [0x32, m => m.push(m.top())], // DUP
  [0x7d, m => m.push(m.map())], // EMPTY_DICT
  [0x5d, m => m.push(m.list([]))], // EMPTY_LIST
  [0x29, m => m.push(m.list([]))], // EMPTY_TUPLE
  [0x8f, m => m.push(m.list([]))], // EMPTY_SET
  [0x85, m => m.push(m.list(m.popMany(1)))], // TUPLE1
  [0x86, m => m.push(m.list(m.popMany(2)))], // TUPLE2
  [0x87, m => m.push(m.list(m.popMany(3)))], // TUPLE3
  [0x74, m => m.push(m.list(m.popToMark()))], // TUPLE
  [0x91, m => m.push(m.list(m.popToMark()))], // FROZENSET
  [0x61, m => m.append([m.pop()])], // APPEND
  [0x65, m => m.append(m.popToMark())], // APPENDS
  [0x90, m => m.append(m.popToMark())], // ADDITEMS
  [0x73, m => m.setItems(m.popMany(2))], // SETITEM
  [0x75, m => m.setItems(m.popToMark())], // SETITEMS
  [0x71, m => m.remember(m.uint(1))], // BINPUT
  [0x72, m => m.remember(m.uint(4))], // LONG_BINPUT
  [0x94, m => m.remember(m.memo.size)], // MEMOIZE
  [0x68, m => m.recall(m.uint(1))], // BINGET
  [0x6a, m => m.recall(m.uint(4))], // LONG_BINGET
  [0x63, m => m.global(m.line(), m.line())], // GLOBAL
  [0x93, m => m.global(...m.popNames())], // STACK_GLOBAL
  [0x51, m => m.push(m.refer(m.pop()))], // BINPERSID
  [0x52, m => m.push(m.call(m.popMany(2)))], // REDUCE
  [0x81, m => m.push(m.call(m.popMany(2)))], // NEWOBJ
  [0x92, m => m.push(m.call(m.popMany(3)))], // NEWOBJ_EX
  [0x6f, m => m.push(m.instance(m.popToMark()))], // OBJ
  [0x62, m => m.build()], // BUILD
]);

class Unpickler extends PickleBytes {
  readonly stack: Item[] = [];
  readonly memo = new Map<number, Pickled>();
  readonly storages = new Map<string, PickledStorage>();

  run(): Pickled {
    for (;;) {
      const opcode = this.uint(1);
      if (opcode === STOP) return this.result();
      const handler = OPCODES.get(opcode);
      if (!handler) this.fail('an opcode that checkpoints do not need', `0x${opcode.toString(16)}`);
      handler(this);
    }
  }

  result(): Pickled {
    const value = this.pop();
    if (this.stack.length > 0) this.fail('values are left over at the end', this.stack.length);
    return value;
  }

  protocol(version: number): void {
    if (version < 2 || version > 5) this.fail('unknown pickle protocol', version);
  }

  global(module: string, name: string): void {
    const text = `${module}.${name}`;
    if (RUNNERS.test(text)) {
      const fix = 'Do not open this file in Python. Get the weights from a source that you trust, as safetensors.';
      this.fail('refused, nothing was executed: the file asks to run something', text.slice(0, 80), fix);
    }
    this.spend(32);
    this.push(new PickledName(text));
  }

  /** The result of calling a name, without calling it. */
  call([callee, args = null, named = null]: Pickled[]): Pickled {
    if (!Array.isArray(args)) return this.fail('a call without a list of arguments');
    if (callee instanceof PickledObject) return this.object(callee.name, args);
    if (!(callee instanceof PickledName)) return this.fail('a call of something that is no name');
    const { text } = callee;
    const [first] = args;
    if (DICTS.has(text)) return this.dict(args);
    if (TENSOR.test(text)) return this.tensor(text, args);
    if (PARAMETER.test(text) && (first instanceof PickledTensor || first instanceof PickledObject)) return first;
    if (SUBCLASS.test(text) && first instanceof PickledName && !SUBCLASS.test(first.text) && Array.isArray(args[2])) {
      return this.call([first, args[2]]);
    }
    if (text === 'torch.Size' && Array.isArray(first)) return first;
    return this.object(text, named instanceof Map ? [...args, named] : args);
  }

  instance(items: Pickled[]): Pickled {
    const [callee = null, ...args] = items;
    return this.call([callee, args]);
  }

  object(name: string, args: readonly Pickled[]): PickledObject {
    this.spend(96);
    return new PickledObject(name, args);
  }

  /** An empty dict, or one of pairs as Python 2 wrote ordered ones; the factory of a defaultdict is not needed. */
  dict([pairs]: Pickled[]): Pickled {
    if (pairs instanceof Map) return pairs;
    const map = this.map();
    if (!Array.isArray(pairs)) return map;
    this.spend(64 * pairs.length);
    for (const pair of pairs) {
      if (!Array.isArray(pair) || pair.length !== 2) return this.fail('a dict of something else than pairs');
      map.set(pair[0] ?? null, pair[1] ?? null);
    }
    return map;
  }

  tensor(callee: string, args: Pickled[]): Pickled {
    const [storage, offset, shape, stride, , , sixth, seventh] = args;
    if (!(storage instanceof PickledStorage) || !isCount(offset) || !isCounts(shape) || !isCounts(stride)) {
      return this.fail('a tensor with unexpected arguments');
    }
    if (shape.length !== stride.length) this.fail('a tensor with other strides than sizes', `${stride.length}`);
    if (shape.length > MAX_AXES) this.fail('a tensor with too many axes', shape.length);
    const typed = callee.endsWith('3');
    // Lazy conjugation or negation, which would change the values.
    const metadata = typed ? seventh : sixth;
    if (metadata instanceof Map && metadata.size > 0) return this.object(callee, args);
    const dtype = typed ? (sixth instanceof PickledName ? dtypeOf(sixth.text) : undefined) : storage.dtype;
    if (dtype === undefined) return this.object(callee, args);
    const last = shape.reduce((sum, size, i) => sum + (size - 1) * (stride[i] ?? 0), offset);
    const count = storage.byteLength / itemBytes(dtype);
    if (!shape.includes(0) && last >= count) {
      this.fail(`a tensor reaches beyond storage ${storage.key}`, `${last + 1} of ${count} elements`);
    }
    this.spend(72);
    return new PickledTensor(storage, dtype, offset, shape, stride);
  }

  /** What a persistent id stands for: a storage, or the class of a module whose source old files hold beside it. */
  refer(id: Pickled): Pickled {
    const [tag, type, key, , count, view] = Array.isArray(id) ? id : [];
    if (tag === 'module' && type instanceof PickledName) return type;
    const dtype = type instanceof PickledName ? storageDType(type.text) : undefined;
    if (tag !== 'storage' || !(type instanceof PickledName) || typeof key !== 'string' || !isCount(count)) {
      return this.fail('an unknown persistent id');
    }
    if (dtype === undefined) return this.fail('an unknown storage', type.text.slice(0, 80));
    if (view !== undefined && view !== null) return this.fail('a view of a storage, as torch wrote before 0.4', key);
    const bytes = count * itemBytes(dtype);
    if (!Number.isSafeInteger(bytes)) this.fail(`the size of storage ${key} overflows`, count);
    this.spend(144);
    const storage = new PickledStorage(dtype, key, bytes);
    this.storages.set(key, storage);
    return storage;
  }

  /** Attributes of objects are kept; those of an OrderedDict, such as the _metadata of a state dict, are not needed. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof PickledObject) target.state = state;
    else if (!(target instanceof Map || target instanceof PickledTensor)) this.fail('attributes set on a plain value');
  }

  append(items: Pickled[]): void {
    const target = this.top();
    this.spend(16 * items.length);
    if (target instanceof PickledObject) target.elements ??= [];
    const list = target instanceof PickledObject ? target.elements : target;
    if (Array.isArray(list)) for (const item of items) list.push(item);
    else this.fail('append to something that is no list');
  }

  setItems(items: Pickled[]): void {
    const target = this.top();
    if (target instanceof PickledObject) target.entries ??= this.map();
    const dict = target instanceof PickledObject ? target.entries : target;
    this.spend(32 * items.length);
    if (!(dict instanceof Map) || items.length % 2 !== 0) this.fail('items for something that is no dict');
    else for (let i = 0; i < items.length; i += 2) dict.set(items[i] ?? null, items[i + 1] ?? null);
  }

  push(item: Item): void {
    this.stack.push(item);
  }

  map(): Map<Pickled, Pickled> {
    this.spend(224);
    return new Map();
  }

  list(items: Pickled[]): Pickled[] {
    this.spend(56 + 8 * items.length);
    return items;
  }

  pop(): Pickled {
    const item = this.stack.pop();
    return item === undefined || item === MARK ? this.fail('the stack is empty') : item;
  }

  top(): Pickled {
    const item = this.stack.at(-1);
    return item === undefined || item === MARK ? this.fail('the stack is empty') : item;
  }

  drop(): void {
    if (this.stack.pop() === undefined) this.fail('the stack is empty');
  }

  popMany(count: number): Pickled[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  popToMark(): Pickled[] {
    const items: Pickled[] = [];
    for (let item = this.stack.pop(); item !== MARK; item = this.stack.pop()) {
      if (item === undefined) return this.fail('a mark is missing');
      items.push(item);
    }
    return items.reverse();
  }

  popNames(): [string, string] {
    const [module, name] = this.popMany(2);
    return typeof module === 'string' && typeof name === 'string' ? [module, name] : this.fail('a name is no string');
  }

  remember(index: number): void {
    this.spend(80);
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    const item = this.memo.get(index);
    if (item === undefined) this.fail('a memo entry is missing', index);
    this.push(item);
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}
