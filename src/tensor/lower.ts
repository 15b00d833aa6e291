/** From a recording to kernel calls on tensors: what runs, in which order, and which results need no memory of the plan. */
import type { BufferSlice } from '../gpu/buffer.ts';
import type { TileRange } from '../kernels/dispatch.ts';
import type { KernelCall } from '../kernels/kernel.ts';
import type { Tuning } from '../kernels/op.ts';
import { chosenBy } from './chosen-by.ts';
import { rewrite } from './fuse.ts';
import { copyRows } from './ops/copy.ts';
import type { Recording } from './recording.ts';
import { storageOf } from './storage.ts';
import type { Lowering, Node, Placed, Tensor, Value } from './tensor.ts';

/** What decides which calls a recording becomes on a device. */
export interface LoweringOptions {
  /** Merge neighbouring operations into one kernel; default true. Tests switch it off to see every activation. */
  readonly fuse?: boolean | undefined;
  /** Which variants of the kernels run; default the device's own tuning, of which nothing counts where there is one here. Plain data. */
  readonly tuning?: Tuning | undefined;
}

/** Rows [firstRow, firstRow + rows) of an operand, where they lie apart from its other rows: in `value`, from `rowOffset` on. */
export interface Piece {
  readonly value: Value;
  readonly rowOffset: number;
  readonly rows: number;
  readonly firstRow: number;
}

/** What a step reads or writes. */
export type Operand = Tensor | Placed | Piece;

/** One kernel call, or a range of its tiles, and what it reads and writes, by binding name. */
export interface Step {
  readonly call: KernelCall;
  readonly buffers: Readonly<Record<string, Operand>>;
  /** Default all tiles. */
  readonly tiles?: TileRange | undefined;
}

/** Everything that is to be done, before anything has a place. */
export interface Lowered {
  readonly steps: readonly Step[];
  /** Results that are written into a DeviceTensor at once. */
  readonly homes: ReadonlyMap<Value, BufferSlice>;
}

/**
 * Kernel calls in order, the copies for stores last. Reads the recording and leaves it as it is.
 *
 * @throws InputError for tuning that names an op or variant that there is not, or forces one that cannot run
 */
export function lower(recording: Recording, options: LoweringOptions): Lowered {
  const steps: Step[] = [];
  const tuning = chosenBy(recording.gpu, options.tuning);
  const fuse = options.fuse !== false;
  const nodes = rewrite(recording, fuse);
  const lowering = loweringFor(recording, tuning, steps, fuse ? measuredOf(nodes) : new Map());
  for (const node of nodes) node.lower(lowering);
  const homes = homesOf(recording);
  for (const { tensor, target } of recording.stores) {
    const home = tensor.value.device?.slice ?? homes.get(tensor.value);
    if (home !== target.value.device?.slice) copyRows(tensor, target).lower(lowering);
  }
  return { steps, homes };
}

/** Pixels of an image of each value that some norm wants measured, whole and in one way. */
function measuredOf(nodes: readonly Node[]): ReadonlyMap<Value, number> {
  const pixelsOf = new Map<Value, number>();
  for (const { tensors, pixels } of nodes.flatMap(node => node.measured?.() ?? [])) {
    for (const { value } of tensors) pixelsOf.set(value, pixelsOf.get(value) ?? pixels);
  }
  return pixelsOf;
}

function loweringFor(
  recording: Recording,
  tuning: Tuning | undefined,
  steps: Step[],
  pixelsOf: ReadonlyMap<Value, number>,
): Lowering {
  const { caps } = recording.gpu;
  return {
    caps,
    tuning,
    moments: new Map(),
    measuredPixels: value => pixelsOf.get(value),
    storage: dtype => storageOf(dtype, caps),
    temporary: (shape, dtype) => recording.allocate(shape, dtype),
    emit: (call, buffers) => {
      steps.push({ call, buffers });
    },
  };
}

/** Results stored whole into a target that nothing else of the graph reads or writes: a node writes them there. */
function homesOf({ nodes, stores }: Recording): Map<Value, BufferSlice> {
  const operands = [...nodes.flatMap(n => n.inputs()), ...stores.map(s => s.tensor)];
  const read = new Set(operands.map(t => t.value.device));
  const written = stores.map(s => s.target.value.device);
  const homes = new Map<Value, BufferSlice>();
  for (const { tensor, target } of stores) {
    const { value } = tensor;
    const { device } = target.value;
    const whole = tensor.rowOffset === 0 && tensor.rows === value.layout.rows;
    const planned = !value.device && !value.constant;
    const alone = device && !read.has(device) && written.indexOf(device) === written.lastIndexOf(device);
    if (planned && whole && alone && !homes.has(value)) homes.set(value, device.slice);
  }
  return homes;
}
