/**
 * A reader for the few pickle opcodes that torch.save writes. It builds plain containers, strings, numbers and
 * descriptions of tensors; every other name or opcode is refused, and nothing that the file names is ever called.
 * The zip file around the pickle is in torch-zip.ts.
 */
import { WeightsError } from '../core/errors.ts';
import type { StoredDType } from '../core/tensor-source.ts';

/** A storage that the pickle refers to: an entry of the zip file. */
export class PickledStorage {
  readonly dtype: StoredDType;
  readonly key: string;
  readonly count: number;
  constructor(dtype: StoredDType, key: string, count: number) {
    this.dtype = dtype;
    this.key = key;
    this.count = count;
  }
}

/** A view of a storage; offset and strides count elements. */
export class PickledTensor {
  readonly storage: PickledStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  constructor(storage: PickledStorage, offset: number, shape: readonly number[], stride: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.stride = stride;
  }
}

/** What a pickle may hold here. Tuples are arrays, dicts are Maps. */
export type Pickled = null | boolean | number | string | PickledTensor | Pickled[] | Map<Pickled, Pickled>;

const STORAGES: Readonly<Record<string, StoredDType>> = {
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.DoubleStorage': 'F64',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};
const DICT = 'collections.OrderedDict';
const TENSOR = 'torch._utils._rebuild_tensor_v2';
const PARAMETER = 'torch._utils._rebuild_parameter';
const ALLOWED: ReadonlySet<string> = new Set([DICT, TENSOR, PARAMETER, ...Object.keys(STORAGES)]);

/** A name that stands in ALLOWED. */
class Name {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
class Mark {}
type Item = Pickled | Name | Mark | PickledStorage | Item[];

/**
 * Reads a pickle of tensors and plain containers.
 * @param bytes the pickle, protocols 2 to 5
 * @param path file name for messages
 * @throws WeightsError for any other content, naming the class, function or opcode; nothing is executed
 */
export function unpickle(bytes: Uint8Array, path: string): Pickled {
  return new Unpickler(bytes, path).run() as Pickled;
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
  [0x47, m => m.push(m.view.getFloat64(m.take(8), false))], // BINFLOAT
  [0x58, m => m.push(m.text(m.uint(4)))], // BINUNICODE
  [0x8c, m => m.push(m.text(m.uint(1)))], // SHORT_BINUNICODE
  [0x54, m => m.push(m.text(m.uint(4)))], // BINSTRING, a str of Python 2
  [0x55, m => m.push(m.text(m.uint(1)))], // SHORT_BINSTRING
  [0x28, m => m.push(new Mark())], // MARK
  [0x7d, m => m.push(new Map())], // EMPTY_DICT
  [0x5d, m => m.push([])], // EMPTY_LIST
  [0x29, m => m.push([])], // EMPTY_TUPLE
  [0x85, m => m.push(m.popMany(1))], // TUPLE1
  [0x86, m => m.push(m.popMany(2))], // TUPLE2
  [0x87, m => m.push(m.popMany(3))], // TUPLE3
  [0x74, m => m.push(m.popToMark())], // TUPLE
  [0x61, m => m.append([m.pop()])], // APPEND
  [0x65, m => m.append(m.popToMark())], // APPENDS
  [0x73, m => m.setItems(m.popMany(2))], // SETITEM
  [0x75, m => m.setItems(m.popToMark())], // SETITEMS
  [0x71, m => m.remember(m.uint(1))], // BINPUT
  [0x72, m => m.remember(m.uint(4))], // LONG_BINPUT
  [0x94, m => m.remember(m.memo.size)], // MEMOIZE
  [0x68, m => m.recall(m.uint(1))], // BINGET
  [0x6a, m => m.recall(m.uint(4))], // LONG_BINGET
  [0x63, m => m.global(m.line(), m.line())], // GLOBAL
  [0x93, m => m.global(...m.popNames())], // STACK_GLOBAL
  [0x51, m => m.push(m.storage(m.pop()))], // BINPERSID
  [0x52, m => m.reduce()], // REDUCE
  [0x62, m => m.build()], // BUILD
]);

class Unpickler {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly path: string;
  readonly stack: Item[] = [];
  readonly memo = new Map<number, Item>();
  at = 0;

  constructor(bytes: Uint8Array, path: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.path = path;
  }

  fail(problem: string, received?: unknown): never {
    const fix = 'Only tensors, dicts, lists, tuples, strings and numbers are read. Save the weights as safetensors.';
    throw new WeightsError({ op: 'unpickle', problem, received, path: this.path, fix });
  }

  run(): Item {
    for (;;) {
      const opcode = this.uint(1);
      if (opcode === STOP) return this.result();
      const handler = OPCODES.get(opcode);
      if (!handler) this.fail('an opcode that checkpoints do not need', `0x${opcode.toString(16)}`);
      handler(this);
    }
  }

  result(): Item {
    const value = this.pop();
    if (this.stack.length > 0) this.fail('values are left over at the end', this.stack.length);
    if (value instanceof Name || value instanceof PickledStorage) this.fail('the pickle holds no tensors');
    return value;
  }

  protocol(version: number): void {
    if (version < 2 || version > 5) this.fail('unknown pickle protocol', version);
  }

  global(module: string, name: string): void {
    const text = `${module}.${name}`;
    if (!ALLOWED.has(text))
      this.fail('refused, nothing was executed: the file names something that is no tensor', text);
    this.push(new Name(text));
  }

  /** Attributes of an OrderedDict, such as the _metadata of a state dict, are not needed. */
  build(): void {
    this.pop();
    if (!(this.top() instanceof Map)) this.fail('attributes set on something that is no OrderedDict');
  }

  reduce(): void {
    const [callee, args] = this.popMany(2);
    if (!(callee instanceof Name) || !Array.isArray(args)) this.fail('a call of something that is no name');
    const [data] = args;
    if (callee.text === DICT && args.length === 0) this.push(new Map());
    else if (callee.text === TENSOR) this.push(this.tensor(args));
    else if (callee.text === PARAMETER && data instanceof PickledTensor) this.push(data);
    else this.fail('unexpected arguments', callee.text);
  }

  tensor(args: Item[]): PickledTensor {
    const [storage, offset, shape, stride, , , metadata] = args;
    if (!(storage instanceof PickledStorage) || !isCount(offset) || !isCounts(shape) || !isCounts(stride)) {
      return this.fail('a tensor with unexpected arguments');
    }
    if (shape.length !== stride.length) this.fail('a tensor with other strides than sizes', stride);
    // Holds the lazy conjugate and negative bits, which would change the values.
    if (metadata instanceof Map && metadata.size > 0) this.fail('a tensor with extra state', [...metadata.keys()]);
    const last = shape.reduce((sum, size, i) => sum + (size - 1) * (stride[i] ?? 0), offset);
    if (!shape.includes(0) && last >= storage.count) {
      this.fail(`a tensor reaches beyond storage ${storage.key}`, `${last + 1} of ${storage.count} elements`);
    }
    return new PickledTensor(storage, offset, shape, stride);
  }

  storage(id: Item): PickledStorage {
    const [tag, type, key, , count] = Array.isArray(id) ? id : [];
    const dtype = type instanceof Name ? STORAGES[type.text] : undefined;
    if (tag !== 'storage' || dtype === undefined || typeof key !== 'string' || !isCount(count)) {
      return this.fail('an unknown persistent id', Array.isArray(id) ? id.map(String) : String(id));
    }
    return new PickledStorage(dtype, key, count);
  }

  append(items: Item[]): void {
    const list = this.top();
    if (!Array.isArray(list)) this.fail('append to something that is no list');
    for (const item of items) (list as Item[]).push(item);
  }

  setItems(items: Item[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) this.fail('items for something that is no dict');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i] as Pickled, items[i + 1] as Pickled);
  }

  push(item: Item): void {
    this.stack.push(item);
  }

  pop(): Item {
    const item = this.stack.pop();
    return item === undefined || item instanceof Mark ? this.fail('the stack is empty') : item;
  }

  top(): Item {
    const item = this.stack.at(-1);
    return item === undefined || item instanceof Mark ? this.fail('the stack is empty') : item;
  }

  popMany(count: number): Item[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  popToMark(): Item[] {
    let mark = this.stack.length - 1;
    while (mark >= 0 && !(this.stack[mark] instanceof Mark)) mark--;
    if (mark < 0) this.fail('a mark is missing');
    const items = this.stack.splice(mark);
    return items.slice(1);
  }

  popNames(): [string, string] {
    const [module, name] = this.popMany(2);
    return typeof module === 'string' && typeof name === 'string' ? [module, name] : this.fail('a name is no string');
  }

  remember(index: number): void {
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    const item = this.memo.get(index);
    if (item === undefined) this.fail('a memo entry is missing', index);
    this.push(item);
  }

  /** Moves on by `length` bytes and returns where they start. */
  take(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.length) this.fail('the pickle is cut short');
    this.at += length;
    return start;
  }

  uint(length: 1 | 2 | 4): number {
    const start = this.take(length);
    if (length === 1) return this.view.getUint8(start);
    return length === 2 ? this.view.getUint16(start, true) : this.view.getUint32(start, true);
  }

  /** A little-endian integer of any length in two's complement. */
  long(length: number): number {
    let value = 0n;
    const start = this.take(length);
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[start + i] ?? 0);
    return Number(BigInt.asIntN(length * 8, value));
  }

  text(length: number): string {
    const start = this.take(length);
    return new TextDecoder().decode(this.bytes.subarray(start, this.at));
  }

  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) this.fail('the pickle is cut short');
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}
