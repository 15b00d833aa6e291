/** The tensors of a checkpoint that torch.save wrote, read by byte range; where its storages lie is said by the two formats. */
import { WeightsError } from '../core/errors.ts';
import type { AbortSignalLike } from '../core/platform.ts';
import { type ByteSource, checkRange, type StoredTensor, type TensorSource } from '../core/tensor-source.ts';
import { entriesOf, itemBytes, type Pickled, PickledObject, type PickledStorage, PickledTensor } from './pickled.ts';
import { type StoragePlace, type StorageRange, Storages } from './torch-storages.ts';

/** A checkpoint with what its pickle holds beside the weights. */
export interface TorchSource extends TensorSource {
  /** The whole content of the file, tensors as descriptions: names, steps and settings are found here. */
  readonly root: Pickled;
}

/** A tensor that may repeat its storage (a stride of 0) is at most this many times as large as the file. */
const MOST_REPEATED = 16;
/** Dicts in dicts are looked into this far when the outer ones hold no tensors. */
const MOST_NESTED = 4;
/** Bytes of a storage that are in memory at a time when a tensor's elements do not lie in order. */
const WINDOW_BYTES = 2 ** 25;

/**
 * The state dict of a checkpoint: the dict itself, or that under "state_dict". Where it holds no tensors but dicts of
 * tensors, these are listed with their names joined by dots (`string_to_param.*`). Everything else is left out.
 * @param bytes the file; closed by the result's `close`
 * @param root what its pickle holds
 * @param locate where the bytes of a storage lie in the file
 * @throws WeightsError when there are no tensors, or `locate` throws
 */
export async function torchSource(
  bytes: ByteSource,
  root: Pickled,
  locate: (storage: PickledStorage) => StoragePlace | Promise<StoragePlace>,
): Promise<TorchSource> {
  const state = stateDict(bytes, root);
  const tensors = new Map<string, StoredTensor>();
  const storages = new Storages(bytes);
  for (const [name, tensor] of state) {
    tensors.set(name, describe(bytes, name, tensor));
    if (tensor instanceof PickledObject || storages.has(tensor.storage)) continue;
    storages.place(tensor.storage, await locate(tensor.storage));
  }
  const tensorOf = (name: string, start: number, into: Uint8Array): PickledTensor | undefined => {
    checkRange(bytes.label, name, tensors.get(name)?.byteLength, start, into.byteLength);
    const tensor = state.get(name);
    return tensor instanceof PickledTensor && into.byteLength > 0 ? tensor : undefined;
  };
  return {
    label: bytes.label,
    tensors,
    root,
    async read(name, start, into): Promise<void> {
      const tensor = tensorOf(name, start, into);
      if (!tensor) return;
      if (isContiguous(tensor)) await storages.read([rangeOf(tensor, start, into)]);
      else await gather(storages, tensor, start, into);
    },
    ...(bytes.readMany && {
      async readMany(ranges, signal): Promise<void> {
        const found = ranges.flatMap(({ name, start, into }) => {
          const tensor = tensorOf(name, start, into);
          return tensor ? [{ tensor, start, into }] : [];
        });
        const plain = found.filter(({ tensor }) => isContiguous(tensor));
        await storages.read(
          plain.map(({ tensor, start, into }) => rangeOf(tensor, start, into)),
          signal,
        );
        for (const { tensor, start, into } of found) {
          if (!isContiguous(tensor)) await gather(storages, tensor, start, into, signal);
        }
      },
    }),
    close: async () => bytes.close?.(),
  };
}

/** The error of every file of torch.save that cannot be used. */
export function refuseTorch(
  bytes: ByteSource,
  problem: string,
  received?: unknown,
  fix = 'Save the weights as safetensors, or download the file again.',
): WeightsError {
  return new WeightsError({ op: 'torch', problem, received, path: bytes.label, fix });
}

/** Objects that stand for tensors of a kind that only torch can make, such as quantised ones. */
type StateTensor = PickledTensor | PickledObject;

function stateDict(bytes: ByteSource, root: Pickled): Map<string, StateTensor> {
  let dict = entriesOf(root);
  if (root instanceof PickledObject && !dict) {
    const fix = 'Save its state dict in Python: torch.save(model.state_dict(), path).';
    throw refuseTorch(bytes, 'the checkpoint is a Python object, not a dict of tensors', root.name.slice(0, 80), fix);
  }
  if (!dict) throw refuseTorch(bytes, 'the checkpoint is not a dict of tensors');
  for (let level = 0; level < MOST_NESTED; level++) dict = entriesOf(dict.get('state_dict')) ?? dict;
  const state = new Map<string, StateTensor>();
  collect(dict, '', 0, state, new Set());
  if (state.size === 0 && dict.size > 0) {
    const keys = [...dict.keys()].slice(0, 8).map(key => (typeof key === 'string' ? key.slice(0, 40) : typeof key));
    throw refuseTorch(bytes, 'the checkpoint holds no tensors at the top or under "state_dict"', keys);
  }
  return state;
}

/** Takes the tensors of a dict; of the dicts in it where it has none. A dict that is met twice counts once. */
function collect(
  dict: Map<Pickled, Pickled>,
  prefix: string,
  depth: number,
  state: Map<string, StateTensor>,
  seen: Set<Map<Pickled, Pickled>>,
): void {
  seen.add(dict);
  const before = state.size;
  const inner: [string, Map<Pickled, Pickled>][] = [];
  for (const [key, value] of dict) {
    if (typeof key !== 'string' && typeof key !== 'number') continue;
    const name = `${prefix}${key}`;
    const entries = entriesOf(value);
    if (value instanceof PickledTensor || (value instanceof PickledObject && isRebuilt(value))) state.set(name, value);
    else if (entries) inner.push([name, entries]);
  }
  if (state.size > before || depth === MOST_NESTED) return;
  for (const [name, entries] of inner) if (!seen.has(entries)) collect(entries, `${name}.`, depth + 1, state, seen);
}

function isRebuilt({ name }: PickledObject): boolean {
  return name.startsWith('torch._utils._rebuild_');
}

function describe(bytes: ByteSource, name: string, tensor: StateTensor): StoredTensor {
  if (tensor instanceof PickledObject) {
    return { name, dtype: tensor.name.slice('torch._utils._rebuild_'.length), shape: [], byteLength: 0 };
  }
  const { dtype, shape } = tensor;
  const byteLength = shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, itemBytes(dtype));
  if (byteLength > MOST_REPEATED * bytes.byteLength) {
    const much = `${byteLength} bytes of a file of ${bytes.byteLength}`;
    throw refuseTorch(bytes, `tensor "${name.slice(0, 80)}" repeats its storage without measure`, much);
  }
  return { name, dtype, shape, byteLength };
}

function isContiguous({ shape, stride }: PickledTensor): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== step) return false;
    step *= shape[i] ?? 1;
  }
  return true;
}

/** Bytes of a tensor whose elements lie in order. */
function rangeOf({ storage, offset, dtype }: PickledTensor, start: number, into: Uint8Array): StorageRange {
  return { storage, offset: offset * itemBytes(dtype) + start, into };
}

/** Passes over the span of the storage that the asked elements lie in, window by window, and picks them out of each. */
async function gather(
  storages: Storages,
  tensor: PickledTensor,
  start: number,
  into: Uint8Array,
  signal?: AbortSignalLike,
): Promise<void> {
  const item = itemBytes(tensor.dtype);
  const first = Math.floor(start / item);
  const end = Math.ceil((start + into.byteLength) / item);
  const [low, high] = spanOf(tensor, first, end);
  const most = Math.floor(WINDOW_BYTES / item);
  for (let from = low; from <= high; from += most) {
    const window = new Uint8Array(Math.min(most, high - from + 1) * item);
    await storages.read([{ storage: tensor.storage, offset: from * item, into: window }], signal);
    eachOffset(tensor, first, end, (element, n) => {
      const source = (element - from) * item;
      if (source < 0 || source >= window.length) return;
      const target = n * item - start;
      // The first and the last element may be asked for in part.
      const skipped = Math.max(0, -target);
      const kept = Math.min(item, into.byteLength - target);
      for (let b = skipped; b < kept; b++) into[target + b] = window[source + b] ?? 0;
    });
  }
}

/** The lowest and the highest place in the storage of elements [first, end). */
function spanOf(tensor: PickledTensor, first: number, end: number): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  eachOffset(tensor, first, end, element => {
    low = Math.min(low, element);
    high = Math.max(high, element);
  });
  return [low, high];
}

/** Calls with the place in the storage of each element [first, end) in row-major order, and its number. */
function eachOffset(
  { shape, stride, offset }: PickledTensor,
  first: number,
  end: number,
  visit: (element: number, n: number) => void,
): void {
  const index = new Array<number>(shape.length).fill(0);
  let rest = first;
  let at = offset;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] ?? 1;
    index[i] = rest % size;
    at += (rest % size) * (stride[i] ?? 0);
    rest = Math.floor(rest / size);
  }
  for (let n = first; n < end; n++) {
    visit(at, n);
    for (let i = shape.length - 1; i >= 0; i--) {
      const next = (index[i] ?? 0) + 1;
      at += stride[i] ?? 0;
      if (next < (shape[i] ?? 1)) {
        index[i] = next;
        break;
      }
      at -= next * (stride[i] ?? 0);
      index[i] = 0;
    }
  }
}
