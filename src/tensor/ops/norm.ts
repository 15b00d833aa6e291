/** Normalisations as recorded nodes. */
import type { DType } from '../../core/dtype.ts';
import { ceilDiv } from '../../core/shape.ts';
import { MOMENT_ROWS } from '../../kernels/gemm.ts';
import { type GroupNormProblem, groupNormSizes, isMeasurable } from '../../kernels/group-norm.ts';
import { groupNormApply } from '../../kernels/group-norm-apply.ts';
import { groupNormFinalize } from '../../kernels/group-norm-finalize.ts';
import { groupNormMerge } from '../../kernels/group-norm-merge.ts';
import { groupNormStats } from '../../kernels/group-norm-stats.ts';
import { layerNorm as layerNormCall, rmsNorm as rmsNormCall } from '../../kernels/layer-norm.ts';
import type { Activation } from '../../kernels/libs.ts';
import type { Parameter } from '../parameter.ts';
import type { Lowering, Node, Tensor } from '../tensor.ts';
import { UnaryNode } from './unary.ts';

/** Measured slabs of an image that group-norm-finalize reads as they are, and how many become one where there are more. */
const MOST_SLABS = 1024;
const MERGED_SLABS = 32;

export interface GroupNormOptions {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly groups: number;
  readonly eps: number;
}

/** Statistics, one scale and shift a channel, application; reads both halves of a concatenation in place. */
export class GroupNormNode implements Node {
  readonly kind = 'group-norm';
  readonly output: Tensor;
  /** What follows the norm. */
  readonly activation: Activation;
  readonly #x: Tensor;
  readonly #options: GroupNormOptions;

  constructor(x: Tensor, output: Tensor, options: GroupNormOptions, activation: Activation = 'none') {
    this.#x = x;
    this.output = output;
    this.#options = options;
    this.activation = activation;
  }

  inputs(): readonly Tensor[] {
    return this.#sources();
  }

  absorb(consumer: Node): Node | undefined {
    if (!(consumer instanceof UnaryNode) || !consumer.activation || this.activation !== 'none') return undefined;
    if (consumer.output.dtype !== this.output.dtype) return undefined;
    return new GroupNormNode(this.#x, consumer.output, this.#options, consumer.activation);
  }

  measured(): { readonly tensors: readonly Tensor[]; readonly pixels: number } {
    const tensors = this.#sources();
    const whole = tensors.every(t => t.rowOffset === 0 && t.rows === t.value.layout.rows);
    const measurable = whole && isMeasurable(this.#shape, this.#options.groups);
    return { tensors: measurable ? tensors : [], pixels: this.#shape.pixels };
  }

  get #shape(): Pick<GroupNormProblem, 'images' | 'pixels' | 'sources'> {
    const images = this.#x.dim(0);
    const sources = this.#sources().map(s => ({ channels: s.width, pitch: s.pitch }));
    return { images, pixels: this.#x.rows / images, sources: sources as unknown as GroupNormProblem['sources'] };
  }

  #sources(): readonly Tensor[] {
    const { parts } = this.#x;
    const fits = parts?.length === 2 && parts.every(p => p.width % 4 === 0 && p.dtype === this.#x.dtype);
    return parts && fits ? parts : [this.#x];
  }

  /** What is normalised, where it is one map; undefined for the halves of a concatenation. */
  get map(): Tensor | undefined {
    const [map, second] = this.#sources();
    return second ? undefined : map;
  }

  lower(l: Lowering): void {
    const [first, second = first] = this.#sources() as [Tensor, Tensor?];
    const scaleShift = this.lowerFactors(l);
    const storage = l.storage(this.#x.dtype);
    const { activation } = this;
    const apply = groupNormApply({ ...this.#shape, storage, output: l.storage(this.output.dtype), activation });
    l.emit(apply, { x1: first, x2: second, scale_shift: scaleShift, y: this.output });
  }

  /** Records statistics and what becomes of them: one scale and shift for each image and channel [N, 2, pitch], padding zero. */
  lowerFactors(l: Lowering): Tensor {
    const [first, second = first] = this.#sources() as [Tensor, Tensor?];
    const problem = { ...this.#shape, storage: l.storage(this.#x.dtype) };
    const sizes = groupNormSizes(l.caps, problem);
    const scaleShift = l.temporary([sizes.scaleShift / 8, 8], 'float32');
    const { weight, bias, groups, eps } = this.#options;
    const measured = this.#moments(l);
    if (measured) {
      const { measuredPixels, partials } = this.#merged(l, measured);
      const [own, other = own] = partials as [Tensor, Tensor?];
      const call = groupNormFinalize(l.caps, { ...problem, groups, eps, measuredPixels }, l.tuning);
      l.emit(call, { partials: own, partials2: other, weight, bias, scale_shift: scaleShift });
    } else {
      const partials = l.temporary([sizes.partials / 8, 8], 'float32');
      l.emit(groupNormStats(l.caps, problem), { x1: first, x2: second, partials });
      const call = groupNormFinalize(l.caps, { ...problem, groups, eps }, l.tuning);
      l.emit(call, { partials, weight, bias, scale_shift: scaleShift });
    }
    return scaleShift;
  }

  /** What the producers measured; undefined where one of them did not, or not in images of as many pixels. */
  #moments(l: Lowering): readonly Tensor[] | undefined {
    const { tensors, pixels } = this.measured();
    const moments = tensors.flatMap(({ value }) => {
      return l.measuredPixels(value) === pixels ? (l.moments.get(value) ?? []) : [];
    });
    return tensors.length > 0 && moments.length === tensors.length ? moments : undefined;
  }

  /** The same in few slabs where there are many: the next call has one workgroup a group. */
  #merged(l: Lowering, moments: readonly Tensor[]): { measuredPixels: number; partials: readonly Tensor[] } {
    const { images, pixels } = this.#shape;
    const slabs = pixels / MOMENT_ROWS;
    if (slabs <= MOST_SLABS) return { measuredPixels: MOMENT_ROWS, partials: moments };
    const sources = this.#sources();
    const partials = moments.map((x, i) => {
      const y = l.temporary([images * ceilDiv(slabs, MERGED_SLABS), x.width], 'float32');
      const sizes = { images, slabs, together: MERGED_SLABS, values: 2 * MOMENT_ROWS, pitch: sources[i]?.pitch ?? 0 };
      l.emit(groupNormMerge(sizes), { x, y });
      return y;
    });
    return { measuredPixels: MOMENT_ROWS * MERGED_SLABS, partials };
  }
}

/** x [N, C, H, W] -> the same shape in the graph's dtype. */
export function groupNorm(x: Tensor, options: GroupNormOptions): Tensor {
  return x.graph.push(new GroupNormNode(x, x.graph.allocate(x.shape, x.graph.dtype), options));
}

type RowKind = 'layer-norm' | 'rms-norm';

interface RowOptions {
  readonly weight: Parameter;
  readonly bias?: Parameter;
  readonly eps: number;
}

/** A kernel that works on each row by itself. */
class RowNode implements Node {
  readonly kind: RowKind;
  readonly output: Tensor;
  readonly #x: Tensor;
  readonly #options: RowOptions;

  constructor(kind: RowKind, x: Tensor, dtype: DType, options: RowOptions) {
    this.kind = kind;
    this.#x = x;
    this.#options = options;
    this.output = x.graph.allocate(x.shape, dtype);
  }

  inputs(): readonly Tensor[] {
    return [this.#x];
  }

  lower(l: Lowering): void {
    const { weight, bias = weight, eps } = this.#options;
    const x = { pitch: this.#x.pitch, storage: l.storage(this.#x.dtype) };
    const y = { pitch: this.output.pitch, storage: l.storage(this.output.dtype) };
    const rows = { rows: this.#x.rows, width: this.#x.width, x, y };
    const buffers = { x: this.#x, y: this.output };
    const call = this.kind === 'rms-norm' ? rmsNormCall : layerNormCall;
    l.emit(call(l.caps, { ...rows, eps }, l.tuning), { ...buffers, weight, bias });
  }
}

/** x [..., D] -> the same shape; dtype defaults to the graph's. */
export function layerNorm(
  x: Tensor,
  o: { weight: Parameter; bias: Parameter; eps: number },
  dtype: DType = x.graph.dtype,
): Tensor {
  return x.graph.push(new RowNode('layer-norm', x, dtype, o));
}

/** x [..., D] -> the same shape; dtype defaults to the graph's. */
export function rmsNorm(x: Tensor, o: { weight: Parameter; eps: number }, dtype: DType = x.graph.dtype): Tensor {
  return x.graph.push(new RowNode('rms-norm', x, dtype, o));
}
