/**
 * Binding a checkpoint to a model: a cursor moves through the names, layers ask for tensors with their shapes, `load` reports
 * everything that does not fit at once and then streams the rest to the device. The checkpoint's own names stand in the models.
 */
import type { DType } from '../core/dtype.ts';
import { WeightsError } from '../core/errors.ts';
import { HeldSource } from '../core/held-source.ts';
import { alignUp, ROW_ALIGN, type Shape, sameShape } from '../core/shape.ts';
import type { StoredTensor, TensorSource } from '../core/tensor-source.ts';
import { isLoadable, LOADABLE, WIDENABLE, widened } from '../core/widened-source.ts';
import type { Gpu } from '../gpu/device.ts';
import { type HeadSpread, packedColumns } from '../kernels/pack-weight.ts';
import { Parameter } from '../tensor/parameter.ts';
import type { StreamedWeights } from '../tensor/streamed-weights.ts';
import {
  LoadedWeights,
  type LoadOptions,
  type Piece,
  type Request,
  type StreamOptions,
  streamWeights,
} from './load.ts';

/** One tensor of a checkpoint as part of a packed matrix or vector. */
export interface Part {
  /** Where in the checkpoint. */
  readonly from: Weights;
  /** Default 'weight' for matrices, 'bias' for vectors. */
  readonly name?: string;
  /** Rows of the stored matrix, or values of a vector. */
  readonly outputs: number;
  /** 1 for vectors. */
  readonly inputs: number;
  /** Kernel height and width of a convolution. */
  readonly kernel?: readonly [number, number];
  /** Spreads the outputs so that each head begins at a multiple of 8; without it they lie as stored. */
  readonly outHeads?: HeadSpread | undefined;
  /** The same for the inputs. */
  readonly inHeads?: HeadSpread | undefined;
  /** Interleaves the two halves of a gated layer. Default false. */
  readonly geglu?: boolean | undefined;
}

interface Registry {
  readonly source: TensorSource;
  readonly requests: Request[];
  readonly problems: string[];
  /** Tensors that are needed and whose type no layer takes, each with its type. */
  readonly misfits: string[];
  readonly used: Set<string>;
  readonly ignored: RegExp[];
  /** What is left over is no fault where nothing is missing. */
  leftOver: 'refused' | 'allowed';
}

/** A place in a checkpoint. */
export class Weights {
  /** Full key of this place, segments joined by dots; empty at the root. */
  readonly path: string;
  readonly #registry: Registry;
  /** Row counts that the layers below will see; undefined where nobody has said. */
  readonly #rows: readonly number[] | undefined;

  /** Of what the layers below are given; undefined where it is the network's. */
  readonly #inputs: DType | undefined;

  private constructor(registry: Registry, path: string, rows?: readonly number[], inputs?: DType) {
    this.#registry = registry;
    this.path = path;
    this.#rows = rows;
    this.#inputs = inputs;
  }

  /** The root of a checkpoint, whose 64-bit and 8-bit floats are taken as `widened` shows them. */
  static open(source: TensorSource): Weights {
    const registry = { requests: [], problems: [], misfits: [], used: new Set<string>(), ignored: [] };
    return new Weights({ source: widened(source), ...registry, leftOver: 'refused' }, '');
  }

  /** Moves down by a segment (`'down_blocks'`, 0, `'to_out.0'`). */
  at(segment: string | number): Weights {
    return new Weights(
      this.#registry,
      this.path ? `${this.path}.${segment}` : String(segment),
      this.#rows,
      this.#inputs,
    );
  }

  /**
   * The same place, for layers that will see these numbers of rows, the most important first: a decoder says [1, 64]. Matrices are
   * packed as the kernels for them read best; one layout serves all. Without it: many rows, and one.
   */
  forRows(...rows: readonly number[]): Weights {
    return new Weights(this.#registry, this.path, rows, this.#inputs);
  }

  /** The same place, for layers that are given this dtype whatever the network's is. */
  forInputs(dtype: DType): Weights {
    return new Weights(this.#registry, this.path, this.#rows, dtype);
  }

  /** Whether a tensor with this name, or any name that starts with it and a dot, lies under the cursor. */
  has(name: string): boolean {
    const key = this.#key(name);
    const { tensors } = this.#registry.source;
    return tensors.has(key) || [...tensors.keys()].some(k => k.startsWith(`${key}.`));
  }

  /** Shape of a tensor under the cursor as the file gives it, undefined where it is missing. */
  shape(name: string): Shape | undefined {
    return this.#registry.source.tensors.get(this.#key(name))?.shape;
  }

  /** Keys that match (from the root) may stay unused: buffers of old files, heads nobody asks for. */
  ignore(pattern: RegExp): void {
    this.#registry.ignored.push(pattern);
  }

  /**
   * Whatever the model has not asked for may stay unused; call it once the model is built. Beside missing tensors it is still
   * listed, because then it shows what the file holds instead.
   * @returns full keys of what is left over; none where tensors are missing
   */
  allowUnused(): string[] {
    this.#registry.leftOver = 'allowed';
    return this.#misses() ? [] : this.unused();
  }

  /** These full keys may stay unused. */
  ignoreKeys(keys: Iterable<string>): void {
    for (const key of keys) this.#registry.used.add(key);
  }

  /** A matrix [out, in] or kernel [out, in, kh, kw] in panels; several parts lie side by side on the output axis. */
  matrix(parts: readonly Part[]): Parameter {
    const [first] = parts as [Part];
    const taps = first.kernel ? first.kernel[0] * first.kernel[1] : 1;
    const width = spreadInputs(first);
    const columns = parts.reduce((sum, p) => sum + packedColumns(p.outputs, p.outHeads, p.geglu), 0);
    const parameter = new Parameter(this.path, 'matrix', columns, alignUp(width, ROW_ALIGN), taps, width);
    return this.#request(parameter, parts, 'weight');
  }

  /** Biases and norm scales [out], spread like the matrix they belong to; f32 on the device. */
  vector(parts: readonly Part[]): Parameter {
    const columns = parts.reduce((sum, p) => sum + packedColumns(p.outputs, p.outHeads, p.geglu), 0);
    return this.#request(new Parameter(this.path, 'vector', columns, 1, 1), parts, 'bias');
  }

  /** An embedding table [count, width] in padded rows. */
  table(name: string, count: number, width: number): Parameter {
    const parameter = new Parameter(this.path, 'table', count, alignUp(width, ROW_ALIGN), 1);
    return this.#request(parameter, [{ from: this, name, outputs: count, inputs: width }], name);
  }

  /** Bytes that `load` reads from the file; a tensor that two parameters hold is read, and counts, twice. */
  get bytesToRead(): number {
    const pieces = this.#registry.requests.flatMap(request => request.pieces);
    return pieces.reduce((sum, piece) => sum + piece.stored.byteLength, 0);
  }

  /**
   * Checks that everything asked for is there with its shape and that nothing is left over, then streams the weights to the device.
   *
   * @throws WeightsError that lists missing, unused and misshapen tensors by full key, the first 20 of each kind
   */
  async load(gpu: Gpu, options: LoadOptions = {}): Promise<LoadedWeights> {
    this.check();
    return LoadedWeights.load(gpu, this.#registry.source, this.#registry.requests, options);
  }

  /**
   * The checks of `load`, then the weights pass through the device piece by piece whenever a plan reads them.
   *
   * @internal
   * @throws as `load`
   */
  async stream(gpu: Gpu, options: StreamOptions = {}): Promise<StreamedWeights> {
    this.check();
    return streamWeights(gpu, this.#registry.source, this.#registry.requests, options);
  }

  /** @internal A view of the checkpoint that keeps on the host what is read of it, for `load` or `stream` to read again and again. */
  hold(): HeldSource {
    return new HeldSource(this.#registry.source);
  }

  #request(parameter: Parameter, parts: readonly Part[], fallback: string): Parameter {
    const pieces: Piece[] = [];
    let columnFirst = 0;
    for (const part of parts) {
      const columns =
        parameter.kind === 'table' ? part.outputs : packedColumns(part.outputs, part.outHeads, part.geglu);
      const stored = part.from.#take(part.name ?? fallback, part, parameter.kind === 'vector');
      const taps = part.kernel ? part.kernel[0] * part.kernel[1] : 1;
      if (stored) pieces.push({ ...part, stored, taps, columns, columnFirst });
      columnFirst += columns;
    }
    this.#registry.requests.push({ parameter, pieces, rows: this.#rows, inputs: this.#inputs });
    return parameter;
  }

  /** Finds a tensor and checks its shape; notes a problem instead of throwing, so that `load` can tell all at once. */
  #take(name: string, part: Part, vector: boolean): StoredTensor | undefined {
    const key = this.#key(name);
    const { source, used, problems, misfits } = this.#registry;
    const stored = source.tensors.get(key);
    if (!stored) {
      problems.push(`missing: ${key}`);
      return undefined;
    }
    used.add(key);
    const plain: Shape = vector ? [part.outputs] : [part.outputs, part.inputs];
    const accepted: Shape[] = part.kernel ? [[...plain, ...part.kernel]] : vector ? [plain] : looksOf(plain);
    if (!isLoadable(stored.dtype)) {
      misfits.push(`${key} is ${stored.dtype}`); // its shape may be that of packed words
    } else if (!accepted.some(shape => sameShape(shape, stored.shape))) {
      problems.push(`wrong shape: ${key} is [${stored.shape.join(', ')}], expected [${accepted[0]?.join(', ')}]`);
    }
    return stored;
  }

  /**
   * The checks of `load` alone, once the model is built.
   *
   * @throws WeightsError that lists missing, unused and misshapen tensors by full key, the first 20 of each kind
   */
  check(): void {
    const { source, problems, misfits, leftOver } = this.#registry;
    const unused = leftOver === 'refused' || this.#misses() ? this.unused() : [];
    const all = [...problems, ...wrongTypes(misfits), ...unused.map(key => `unused: ${key}`)];
    if (all.length === 0) return;
    throw new WeightsError({
      op: 'Weights.load',
      problem: `the checkpoint does not fit the model:\n  ${shortened(all).join('\n  ')}\n`,
      path: source.label,
      fix:
        misfits.length > 0 && problems.length === 0
          ? 'Get the weights as floats, such as fp16: packed and quantised ones are not taken.'
          : 'Check that config.json and the weights belong together.',
    });
  }

  /** Full keys of the file that nothing has asked for and no pattern of `ignore` covers. */
  unused(): string[] {
    const { source, used, ignored } = this.#registry;
    return [...source.tensors.keys()].filter(key => !used.has(key) && !ignored.some(pattern => pattern.test(key)));
  }

  #misses(): boolean {
    return this.#registry.problems.some(problem => problem.startsWith('missing: '));
  }

  #key(name: string): string {
    return this.path ? `${this.path}.${name}` : name;
  }
}

/** Lines of one kind, such as "missing: ...", that an error shows; of the others it says how many there are. */
const MOST_LINES = 20;

/** A checkpoint of another model lacks hundreds of tensors: the first of each kind tell which one it is. */
function shortened(lines: readonly string[]): string[] {
  const counts = new Map<string, number>();
  const kept = lines.filter(line => {
    const kind = line.slice(0, line.indexOf(':'));
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return count <= MOST_LINES;
  });
  const more = [...counts].filter(([, count]) => count > MOST_LINES);
  return [...kept, ...more.map(([kind, count]) => `${kind}: ${count - MOST_LINES} more`)];
}

/** One line for all tensors of a type that no layer takes: a quantised checkpoint has hundreds. */
function wrongTypes(misfits: readonly string[]): string[] {
  if (misfits.length === 0) return [];
  const named = misfits.slice(0, 3).join(', ');
  const more = misfits.length > 3 ? ` and ${misfits.length - 3} more` : '';
  return [`wrong dtype: ${named}${more}, expected ${[...LOADABLE, ...WIDENABLE].join(', ')}`];
}

/** A matrix, also as the kernel of a 1x1 convolution, or as a table with a batch axis of 1 (position embeddings of vision models). */
function looksOf(plain: Shape): Shape[] {
  return [plain, [...plain, 1, 1], [1, ...plain]];
}

/** Inputs with heads of odd width spread out. */
function spreadInputs(part: Part): number {
  return part.inHeads ? (part.inputs / part.inHeads.width) * part.inHeads.padded : part.inputs;
}
