/**
 * A checkpoint as layers take it: 64-bit floats are rounded to 32 bits, 8-bit floats are widened without loss, and scales
 * that stand beside weights are multiplied in. All of it happens in small pieces while a tensor is read.
 */
import { type Float8, halfValue, halvesOf } from './float8.ts';
import { checkRange, readManyOfView, type StoredTensor, type TensorSource } from './tensor-source.ts';

/** Types that layers take as they are. */
export const LOADABLE = ['F32', 'F16', 'BF16'] as const;
/** Types that `widened` turns into those, as messages name them. */
export const WIDENABLE = ['F64', 'F8_E4M3', 'F8_E5M2'] as const;

type Loadable = (typeof LOADABLE)[number];
type Widenable = Loadable | (typeof WIDENABLE)[number];

const BYTES: Readonly<Record<Widenable, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1 };
/** What the scale of `layer.weight` is called: by ComfyUI, by diffusers and compressed-tensors, by DeepSeek (not an inverse). */
const SCALES = ['scale_weight', 'weight_scale', 'weight_scale_inv'];
/** What stands beside a scaled weight and is for running it in 8 bits. */
const HINTS = ['scale_input', 'input_scale', 'comfy_quant'];
/** ComfyUI's mark of a file with scales. */
const MARK = /(^|\.)scaled_fp8$/;
/** Bytes that are read and converted at a time: few requests where the file lies behind a URL, little memory. */
const PIECE_BYTES = 2 ** 22;

/**
 * Shows F64 tensors as F32, F8_E4M3 and F8_E5M2 as F16, and weights with a scale (one number, or one an output) as their
 * F32 product with it; scales and what belongs to them are not shown. Other tensors pass unchanged. Weights with scales in
 * blocks keep a dtype that no layer takes.
 * @param source a checkpoint; closed by the result's `close`
 * @returns the source itself where nothing is to be done
 * @see torch.Tensor.to(torch.float32)
 */
export function widened(source: TensorSource): TensorSource {
  const tensors = new Map<string, StoredTensor>();
  const views = new Map<string, View>();
  const hidden = scalesOf(source);
  for (const [name, stored] of source.tensors) {
    if (hidden.beside.has(name) || (hidden.scaleOf.size > 0 && MARK.test(name))) continue;
    const view = viewOf(stored, hidden.scaleOf.get(name));
    if (view) views.set(name, view);
    tensors.set(name, view?.shown ?? stored);
  }
  if (views.size === 0 && tensors.size === source.tensors.size) return source;
  const view: TensorSource = {
    label: source.label,
    tensors,
    async read(name, start, into): Promise<void> {
      const own = views.get(name);
      if (!own?.from) return source.read(name, start, into);
      checkRange(source.label, name, own.shown.byteLength, start, into.byteLength);
      await readWidened(source, own, own.from, start, into);
    },
    close: async () => source.close?.(),
  };
  return { ...view, ...readManyOfView(source, name => views.get(name)?.from !== undefined, view.read) };
}

/** A tensor as it is shown, and how it is made. */
interface View {
  readonly shown: StoredTensor;
  readonly stored: StoredTensor;
  /** Undefined for what is shown under a dtype that nobody takes. */
  readonly from?: Widenable;
  readonly scale?: StoredTensor;
  /** Read with the first bytes of the tensor, kept for the others. */
  scales?: Float32Array;
}

/** Scales by the weight that they belong to, and every tensor that stands beside a weight only for its scale. */
function scalesOf({ tensors }: TensorSource): { scaleOf: Map<string, StoredTensor>; beside: Set<string> } {
  const scaleOf = new Map<string, StoredTensor>();
  const beside = new Set<string>();
  for (const [name, stored] of tensors) {
    const place = name.slice(0, name.lastIndexOf('.') + 1);
    if (!SCALES.includes(name.slice(place.length))) continue;
    const weight = tensors.get(`${place}weight`);
    if (!weight || !isWidenable(weight.dtype)) continue;
    if (!stored.shape.includes(0)) scaleOf.set(weight.name, stored);
    for (const hint of [name, ...HINTS.map(h => place + h)]) beside.add(hint);
  }
  return { scaleOf, beside };
}

function viewOf(stored: StoredTensor, scale: StoredTensor | undefined): View | undefined {
  const { dtype, name, shape } = stored;
  if (!isWidenable(dtype)) return undefined;
  const count = stored.byteLength / BYTES[dtype];
  const show = (to: Loadable): StoredTensor => ({ name, dtype: to, shape, byteLength: count * BYTES[to] });
  if (scale) {
    const sizes = scale.shape.filter(size => size !== 1);
    const each = sizes.length === 0 || (sizes.length === 1 && scale.shape[0] === shape[0]);
    if (each && isWidenable(scale.dtype)) return { shown: show('F32'), stored, from: dtype, scale };
    const how = `${dtype} with a scale ${scale.dtype} [${scale.shape.join(', ')}]`;
    return { shown: { ...stored, dtype: how }, stored };
  }
  if (isLoadable(dtype)) return undefined;
  return { shown: show(dtype === 'F64' ? 'F32' : 'F16'), stored, from: dtype };
}

async function readWidened(
  source: TensorSource,
  view: View,
  from: Widenable,
  start: number,
  into: Uint8Array,
): Promise<void> {
  const { shown, stored, scale } = view;
  const size = shown.dtype === 'F32' ? 4 : 2;
  if (scale && isWidenable(scale.dtype)) view.scales ??= await readScales(source, scale, scale.dtype);
  const { scales } = view;
  const rowSize = scales && scales.length > 1 ? shown.byteLength / size / scales.length : Number.POSITIVE_INFINITY;
  for (let done = 0; done < into.byteLength; ) {
    const first = Math.floor((start + done) / size);
    const skipped = start + done - first * size;
    const count = Math.min(PIECE_BYTES / BYTES[from], Math.ceil((skipped + into.byteLength - done) / size));
    const raw = new Uint8Array(count * BYTES[from]);
    await source.read(stored.name, first * BYTES[from], raw);
    const wide = size === 2 ? halves(raw, from) : floats(raw, from);
    if (scales) multiply(wide, first, scales, rowSize);
    const part = new Uint8Array(wide.buffer).subarray(skipped, skipped + into.byteLength - done);
    into.set(part, done);
    done += part.length;
  }
}

/** Multiplies values, the first of which is element `first` of its tensor, with the scale of their row. */
function multiply(values: Float32Array | Uint16Array, first: number, scales: Float32Array, rowSize: number): void {
  for (let i = 0; i < values.length; ) {
    const row = Math.floor((first + i) / rowSize);
    const scale = scales[row] ?? 1;
    const end = Math.min(values.length, (row + 1) * rowSize - first);
    for (; i < end; i++) values[i] = (values[i] ?? 0) * scale;
  }
}

async function readScales(source: TensorSource, scale: StoredTensor, dtype: Widenable): Promise<Float32Array> {
  const raw = new Uint8Array(scale.byteLength);
  await source.read(scale.name, 0, raw);
  return floats(raw, dtype);
}

const HALVES: Readonly<Record<Float8, Uint16Array>> = { F8_E4M3: halvesOf('F8_E4M3'), F8_E5M2: halvesOf('F8_E5M2') };
const FLOATS: Readonly<Record<Float8, Float32Array>> = {
  F8_E4M3: Float32Array.from(HALVES.F8_E4M3, halfValue),
  F8_E5M2: Float32Array.from(HALVES.F8_E5M2, halfValue),
};

/** 8-bit floats as halves. */
function halves(raw: Uint8Array, from: Widenable): Uint16Array<ArrayBuffer> {
  const table = HALVES[from === 'F8_E4M3' ? from : 'F8_E5M2'];
  const out = new Uint16Array(raw.length);
  for (let i = 0; i < out.length; i++) out[i] = table[raw[i] ?? 0] ?? 0;
  return out;
}

/** Little-endian bytes of any type as 32-bit floats; a copy unless they are that already. */
function floats(raw: Uint8Array<ArrayBuffer>, from: Widenable): Float32Array<ArrayBuffer> {
  if (from === 'F32') return new Float32Array(raw.buffer);
  if (from === 'F64') return new Float32Array(new Float64Array(raw.buffer));
  const out = new Float32Array(raw.length / BYTES[from]);
  if (from === 'F16' || from === 'BF16') {
    const words = new Uint16Array(raw.buffer);
    const bits = new Uint32Array(out.buffer);
    if (from === 'BF16') for (let i = 0; i < bits.length; i++) bits[i] = (words[i] ?? 0) << 16;
    else for (let i = 0; i < out.length; i++) out[i] = halfValue(words[i] ?? 0);
    return out;
  }
  const table = FLOATS[from];
  for (let i = 0; i < out.length; i++) out[i] = table[raw[i] ?? 0] ?? 0;
  return out;
}

/** Whether layers take tensors of this type as they are. */
export function isLoadable(dtype: string): dtype is Loadable {
  return (LOADABLE as readonly string[]).includes(dtype);
}

function isWidenable(dtype: string): dtype is Widenable {
  return Object.hasOwn(BYTES, dtype);
}
