/**
 * Linear layers, matrix products and convolutions as recorded nodes: all are one gemm with an epilogue that fusion fills.
 * Weights larger than a binding are multiplied column window by column window.
 */
import { BYTES, type DType } from '../../core/dtype.ts';
import { ShapeError } from '../../core/errors.ts';
import { alignUp, ROW_ALIGN } from '../../core/shape.ts';
import type { PhaseLines } from '../../kernels/conv-pixels.ts';
import { CONV2D, type Conv2dProblem, conv2dSize, type Padding } from '../../kernels/conv2d.ts';
import { foldDoubling, foldedRows, foldedTaps } from '../../kernels/fold-doubling.ts';
import { type Epilogue, MOMENT_ROWS, momentsPitch, PANEL } from '../../kernels/gemm.ts';
import { storageBytes } from '../../kernels/kernel.ts';
import type { Activation } from '../../kernels/libs.ts';
import { LINEAR } from '../../kernels/linear.ts';
import { type PanelWindow, panelWindows } from '../../kernels/panel-windows.ts';
import type { Parameter } from '../parameter.ts';
import type { Lowering, Node, Placed, Tensor } from '../tensor.ts';
import { BinaryNode } from './binary.ts';
import { CopyNode } from './copy.ts';
import { GroupNormNode } from './norm.ts';
import { emitProduct, type Product, product } from './product.ts';
import { UnaryNode } from './unary.ts';
import { UpsampleNode } from './upsample.ts';

export type { Padding };

export interface ContractionOptions {
  readonly weight: Parameter;
  readonly bias?: Parameter | undefined;
  readonly conv?:
    | { readonly kernel: readonly [number, number]; readonly stride: number; readonly padding: Padding }
    | undefined;
  readonly geglu?: boolean | undefined;
}

/** Pixels of a map from which on its four small kernels are worth making: they cost as much as they save at about 20. */
const LEAST_PIXELS = 64;
/** Values of such kernels that are made at once: they lie beside the activations, and the deepest maps are small. */
const FOLDED_VALUES = 2 ** 23;
/** Bytes that a product may write of an image for the norm behind it: the largest maps of the autoencoder set the peak of memory. */
const MOST_MEASURED = 2 ** 23;
/** A convolution by them. */
const FOLDED = { kernel: [2, 2], upsample: false } as const;

/** What fusion has made part of a contraction. */
interface Fused {
  /** The input is enlarged twofold on its way in. */
  readonly upsample?: boolean;
  /** The norm whose result the input is; applied as it is loaded, where that pays. */
  readonly norm?: GroupNormNode | undefined;
  /** That it is: its factors and what follows it. */
  readonly normalized?: { readonly scaleShift: Tensor; readonly activation: Activation } | undefined;
  readonly activation?: Activation;
  readonly channelAdd?: Tensor;
  /** Channel of channelAdd that meets the first one of the output; default 0. */
  readonly addFirst?: number;
  readonly residual?: Tensor;
  readonly gate?: Tensor;
}

/** y = act(x W + b) + channelAdd, then + residual or * gate; x rows or, with `conv`, pixels. */
class ContractionNode implements Node {
  readonly kind = 'contraction';
  readonly output: Tensor;
  readonly #x: Tensor;
  readonly #options: ContractionOptions;
  readonly #fused: Fused;

  constructor(x: Tensor, output: Tensor, options: ContractionOptions, fused: Fused = {}) {
    this.#x = x;
    this.output = output;
    this.#options = options;
    this.#fused = fused;
  }

  inputs(): readonly Tensor[] {
    const { norm, channelAdd, residual, gate } = this.#fused;
    return [...(norm?.inputs() ?? this.#sources()), channelAdd, residual, gate].filter(t => t !== undefined);
  }

  absorb(consumer: Node): Node | undefined {
    let more: Fused | undefined;
    if (consumer instanceof UnaryNode) more = this.#activationOf(consumer);
    if (consumer instanceof BinaryNode) more = this.#addendOf(consumer) ?? this.#gateOf(consumer);
    if (!more || !consumer.output || consumer.output.dtype !== this.output.dtype) return undefined;
    return new ContractionNode(this.#x, consumer.output, this.#options, { ...this.#fused, ...more });
  }

  swallow(producer: Node): Node | undefined {
    if (producer instanceof CopyNode) return this.#addedFrom(producer);
    const { conv } = this.#options;
    const { upsample, norm, residual, gate } = this.#fused;
    if (conv?.stride !== 1 || upsample || norm) return undefined;
    if (!producer.output?.sameShape(this.#x)) return undefined; // a view of it has other lines, or other pictures
    if ([residual, gate].some(t => t?.value === producer.output?.value)) return undefined; // read behind the product too
    if (producer instanceof GroupNormNode && producer.map && isThreeByThree(conv)) {
      return new ContractionNode(this.#x, this.output, this.#options, { ...this.#fused, norm: producer });
    }
    if (!(producer instanceof UpsampleNode) || !producer.doubles || isPointwise(conv)) return undefined;
    return new ContractionNode(producer.x, this.output, this.#options, { ...this.#fused, upsample: true });
  }

  /** Adds some channels of a wider tensor from where they lie. */
  #addedFrom(producer: CopyNode): Node | undefined {
    const of = producer.channelsOf;
    const { channelAdd } = this.#fused;
    const others = this.inputs().filter(tensor => tensor !== channelAdd);
    if (!of || channelAdd?.value !== producer.output.value || others.some(t => t.value === channelAdd.value))
      return undefined;
    if (of.first % 4 !== 0 || of.x.dtype !== channelAdd.dtype || of.x.rowOffset !== 0) return undefined;
    if (this.output.width % ROW_ALIGN !== 0) return undefined; // padding would meet the channels behind the last one
    const more = { channelAdd: of.x, addFirst: of.first };
    return new ContractionNode(this.#x, this.output, this.#options, { ...this.#fused, ...more });
  }

  #activationOf(consumer: UnaryNode): Fused | undefined {
    const { activation } = consumer;
    if (!activation || this.#activated || this.#joined || this.#options.geglu) return undefined;
    if (this.#sources().length > 1) return undefined; // the parts have no activation between them
    return { activation };
  }

  #addendOf(consumer: BinaryNode): Fused | undefined {
    const { channelAdd, residual, gate } = this.#fused;
    const other = consumer.otherAddend(this.output);
    if (!other || residual || gate || other.dtype !== this.output.dtype || other.rowOffset !== 0) return undefined;
    if (other.rows === this.output.rows) return { residual: other };
    const fits = isPerChannel(other) && [1, this.output.dim(0)].includes(other.rows);
    return fits && !channelAdd ? { channelAdd: other } : undefined;
  }

  #gateOf(consumer: BinaryNode): Fused | undefined {
    const other = consumer.otherFactor(this.output);
    if (!other || this.#joined || this.#sources().length > 1) return undefined;
    return other.dtype === this.output.dtype && other.rowOffset === 0 ? { gate: other } : undefined;
  }

  get #activated(): boolean {
    return (this.#fused.activation ?? 'none') !== 'none';
  }

  /** Whether a second tensor meets the product behind the activation. */
  get #joined(): boolean {
    const { channelAdd, residual, gate } = this.#fused;
    return channelAdd !== undefined || residual !== undefined || gate !== undefined;
  }

  /** The parts of a concatenation where the gemm can read them one after the other, else x itself. */
  #sources(): readonly Tensor[] {
    const { parts } = this.#x;
    const pointwise = !this.#options.conv || isPointwise(this.#options.conv);
    const aligned = parts?.every(p => p.width % ROW_ALIGN === 0 && p.dtype === this.#x.dtype);
    return parts && aligned && pointwise && !this.#options.geglu && !this.#activated ? parts : [this.#x];
  }

  /** What the norm that it has swallowed wants measured. */
  measured(): ReturnType<GroupNormNode['measured']> {
    return this.#fused.norm?.measured() ?? { tensors: [], pixels: 0 };
  }

  /** The norm and the product: while it loads, where the product gains by it, else one after the other. */
  #lowerBoth(l: Lowering, { norm, ...fused }: Fused & { readonly norm: GroupNormNode }): void {
    const products = this.#windows(l).map(w => this.#product(l, this.#x, this.output, 0, {}, w, undefined));
    const map = products.every(p => p.normalizes()) ? norm.map : undefined;
    if (!map) norm.lower(l);
    const normalized = map && { scaleShift: norm.lowerFactors(l), activation: norm.activation };
    new ContractionNode(map ?? this.#x, this.output, this.#options, { ...fused, normalized }).lower(l);
  }

  lower(l: Lowering): void {
    const { bias, geglu } = this.#options;
    const { activation = 'none', channelAdd, residual, gate, norm, normalized } = this.#fused;
    if (norm) {
      this.#lowerBoth(l, { ...this.#fused, norm });
      return;
    }
    const sources = this.#sources();
    const folds = this.#folds;
    const passes = folds ? this.#folding(l).lines : [undefined];
    const windows = this.#windows(l);
    let kOffset = 0;
    let sum = residual;
    for (const [i, x] of sources.entries()) {
      const last = i === sources.length - 1;
      const output = last ? this.output : l.temporary(this.output.shape, this.output.dtype);
      const epilogue: Epilogue = {
        bias: i === 0 && bias !== undefined,
        activation,
        residual: gate ? 'multiply' : sum !== undefined,
        channelAdd:
          last && channelAdd
            ? {
                rowsPerImage: output.rows / channelAdd.rows / (folds ? 4 : 1),
                pitch: channelAdd.pitch,
                offset: this.#fused.addFirst ?? 0,
              }
            : undefined,
        geglu,
      };
      const products = windows.flatMap(window =>
        passes.map(lines => ({ window, lines, ...this.#product(l, x, output, kOffset, epilogue, window, lines) })),
      );
      const moments = last ? this.#moments(l, products) : undefined;
      for (const { window, lines, calls } of products) {
        const { weight } = window;
        // Operands that the epilogue leaves out are bound to the weight, of which they read nothing.
        const buffers = {
          a: x,
          b: lines ? this.#fold(l, window, lines) : weight,
          bias: (i === 0 ? window.bias : undefined) ?? weight,
          channel_add: (last ? channelAdd : undefined) ?? weight,
          residual: gate ?? sum ?? weight,
          y: output,
          ...(moments ? { moments } : {}),
          ...(normalized ? { scale_shift: normalized.scaleShift } : {}),
        };
        emitProduct(l, calls(moments !== undefined), buffers);
      }
      kOffset += x.pitch;
      sum = output;
    }
  }

  /** Room for what products measure of the output, where a norm wants to know and all of them can tell. */
  #moments(l: Lowering, products: readonly Product[]): Tensor | undefined {
    const { value, rows, pitch } = this.output;
    const pixels = l.measuredPixels(value);
    const width = momentsPitch(pitch);
    if (pixels === undefined || !this.#measuresImagesOf(pixels) || !products.every(p => p.measures())) return undefined;
    if ((pixels / MOMENT_ROWS) * width * BYTES.float32 > MOST_MEASURED) return undefined;
    const moments = l.temporary([rows / MOMENT_ROWS, width], 'float32');
    l.moments.set(value, moments);
    return moments;
  }

  /** Slabs of a convolution lie within its images, but not one after the other: those of a norm's are whole ones of them. */
  #measuresImagesOf(pixels: number): boolean {
    const { conv } = this.#options;
    if (!conv || isPointwise(conv)) return true;
    const [height, width] = conv2dSize(this.#geometry(conv));
    return pixels % (height * width) === 0;
  }

  /** Whether small kernels take the place of one behind a doubling. */
  get #folds(): boolean {
    const { weight, conv } = this.#options;
    if (!this.#fused.upsample || !conv || !isThreeByThree(conv) || weight.layout !== 'panels') return false;
    return this.#x.dim(2) * this.#x.dim(3) >= LEAST_PIXELS;
  }

  /** Type of small kernels: a sum of halves is none, and is stored as one only where the activations are. */
  get #foldedType(): 'float32' | 'float16' {
    const { storage } = this.#options.weight;
    return this.#x.dtype === 'float16' && (storage === 'f16' || storage === 'f16-packed') ? 'float16' : 'float32';
  }

  /** What is made at once, of the four kernels and of the columns: all, unless a few columns exceed a buffer. */
  #folding({ caps }: Lowering): { readonly lines: readonly PhaseLines[]; readonly weightBytes: number } {
    const { k, storage } = this.#options.weight;
    const bytes = BYTES[this.#foldedType];
    const most = Math.min(FOLDED_VALUES * bytes, caps.maxBindingBytes, caps.maxBufferBytes);
    const all = foldedRows(2 * PANEL, k, 'all') * PANEL * bytes <= most;
    const lines = all ? (['all'] as const) : (['even', 'odd'] as const);
    return { lines, weightBytes: (most * 9 * storageBytes(storage)) / (foldedTaps(lines[0]) * bytes) };
  }

  /** Records how small kernels are made of the columns of a window, anew in each run. */
  #fold(l: Lowering, { columns, weight }: PanelWindow & { readonly weight: Placed }, lines: PhaseLines): Tensor {
    const { k, storage } = this.#options.weight;
    const folded = l.temporary([foldedRows(columns, k, lines), PANEL], this.#foldedType);
    const call = foldDoubling({ columns, k, weight: storage, output: l.storage(folded.dtype), lines });
    l.emit(call, { b: weight, y: folded });
    return folded;
  }

  /** The whole matrix, or windows of columns where it exceeds a binding. */
  #windows(l: Lowering): (PanelWindow & { weight: Placed; bias: Placed | undefined })[] {
    const { output } = this;
    const { weight, bias, geglu } = this.#options;
    const each = geglu ? 2 : 1; // panels of values alternate with panels of gates, in the bias too
    const { storage, layout } = weight;
    // Gates lie behind whole panels of values, in rows too.
    const lies = geglu ? 'panels' : layout;
    const panels = { columns: output.pitch, k: each * weight.k * weight.taps, storage, layout: lies } as const;
    const limit = this.#folds ? this.#folding(l).weightBytes : Number.POSITIVE_INFINITY;
    return panelWindows(Math.min(limit, l.caps.maxBindingBytes), panels).map(window => ({
      ...window,
      weight: window.columns === output.pitch ? weight : part(weight, window.offset, window.size),
      bias: bias && (window.first === 0 ? bias : part(bias, each * window.first * 4, biasBytes(window.columns, each))),
    }));
  }

  #product(
    l: Lowering,
    x: Tensor,
    output: Tensor,
    kOffset: number,
    epilogue: Epilogue,
    window: PanelWindow,
    phases: PhaseLines | undefined,
  ): Product {
    const { weight, conv } = this.#options;
    const { channelAdd } = epilogue;
    const own = channelAdd
      ? { ...epilogue, channelAdd: { ...channelAdd, offset: (channelAdd.offset ?? 0) + window.first } }
      : epilogue;
    const a = { pitch: x.pitch, storage: l.storage(x.dtype) };
    const y = { pitch: output.pitch, offset: window.first, storage: l.storage(output.dtype) };
    if (conv && !isPointwise(conv)) {
      const storage = {
        input: a.storage,
        weight: phases ? l.storage(this.#foldedType) : weight.storage,
        layout: weight.layout,
        output: y.storage,
      };
      const { normalized: normalize } = this.#fused;
      const geometry = { ...this.#geometry(conv), ...(phases ? { ...FOLDED, phases } : {}) };
      return product(CONV2D, l, { ...geometry, ...storage, window, epilogue: own, normalize });
    }
    const b = { layout: weight.layout, storage: weight.storage, kTotal: weight.k, kOffset };
    const itemRows = output.shape.length > 2 ? output.rows / output.dim(0) : 1;
    const sizes = { batch: 1, rows: output.rows, itemRows, columns: window.columns, k: x.pitch };
    return product(LINEAR, l, { ...sizes, a, b, y, epilogue: own });
  }

  #geometry(conv: NonNullable<ContractionOptions['conv']>): Omit<Conv2dProblem, 'input' | 'weight' | 'output'> {
    return {
      images: this.#x.dim(0),
      height: this.#x.dim(2),
      width: this.#x.dim(3),
      channels: this.#x.pitch,
      outChannels: this.output.pitch,
      kernel: conv.kernel,
      stride: conv.stride,
      padding: conv.padding,
      upsample: this.#fused.upsample ?? false,
    };
  }
}

/** [N, C, 1, 1]: a map of as many pixels as there are images has as many rows. */
function isPerChannel({ shape }: Tensor): boolean {
  return shape.length === 4 && shape[2] === 1 && shape[3] === 1;
}

/** Bytes of the bias of some columns; where gates alternate with values, of whole panels of both. */
function biasBytes(columns: number, each: number): number {
  return 4 * (each === 1 ? columns : each * alignUp(columns, PANEL));
}

/** Bytes [offset, offset + size) of a parameter. */
function part(p: Parameter, offset: number, size: number): Placed {
  return { slice: { buffer: p.slice.buffer, offset: p.slice.offset + offset, size }, parameter: p };
}

function isPointwise(conv: NonNullable<ContractionOptions['conv']>): boolean {
  const { top, right, bottom, left } = conv.padding;
  return conv.kernel[0] === 1 && conv.kernel[1] === 1 && conv.stride === 1 && top + right + bottom + left === 0;
}

function isThreeByThree({ kernel, padding }: NonNullable<ContractionOptions['conv']>): boolean {
  return [...kernel, ...Object.values(padding)].join() === '3,3,1,1,1,1';
}

/** x [..., in] -> [..., out], where W and b are packed weights; `columns` are the true outputs. */
export function linear(x: Tensor, columns: number, options: ContractionOptions, dtype: DType = x.graph.dtype): Tensor {
  if (options.weight.width !== x.width) {
    throw new ShapeError({
      op: 'linear',
      problem: 'x has another number of channels than the weight',
      expected: options.weight.width,
      received: `[${x.shape}]`,
      path: options.weight.path,
    });
  }
  const shape = x.shape.length === 4 ? [x.dim(0), columns, x.dim(2), x.dim(3)] : [...x.shape.slice(0, -1), columns];
  return x.graph.push(new ContractionNode(x, x.graph.allocate(shape, dtype), options));
}

/** x [N, C, H, W] -> [N, O, OH, OW]. */
export function convolution(
  x: Tensor,
  channels: number,
  options: ContractionOptions & { conv: NonNullable<ContractionOptions['conv']> },
): Tensor {
  const { weight, conv } = options;
  if (x.shape.length !== 4 || weight.width !== x.width) {
    throw new ShapeError({
      op: 'conv2d',
      problem: 'x is not a map with the channels that the weight takes',
      expected: `[N, ${weight.width}, H, W]`,
      received: `[${x.shape}]`,
      path: weight.path,
    });
  }
  const size = conv2dSize({ height: x.dim(2), width: x.dim(3), ...conv });
  const output = x.graph.allocate([x.dim(0), channels, ...size], x.graph.dtype);
  return x.graph.push(new ContractionNode(x, output, options));
}
