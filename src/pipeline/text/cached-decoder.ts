/** A text decoder at work: its plans, its caches of keys and values, and texts that grow by one step at a time. */
import { DeviceError, InputError, ShapeError } from '../../core/errors.ts';
import type { Sequences, StepDecoder } from '../../generation/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { argmax } from '../../tensor/ops/argmax.ts';
import { cacheGather } from '../../tensor/ops/cache.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DeviceMemory, TensorScope } from '../runtime/device-memory.ts';
import { DeviceProgram, type Recording } from '../runtime/device-program.ts';
import { checkFinite } from '../runtime/finite.ts';

/** What a decoder is told of its network. */
export interface CachedNetwork {
  /** For the labels of plans. */
  readonly name: string;
  /** V of the logits. */
  readonly vocab: number;
  /** Blocks, each with a cache. */
  readonly blocks: number;
  /** Channels of a cache: keys and values side by side. */
  readonly cacheWidth: number;
  /** Texts or pictures that the network looks at: N. */
  readonly inputs: number;
  /**
   * Records ids [rows, L] behind those in the caches [rows, capacity, cacheWidth].
   * @param place lengths: uint32 [1, 2], keys after the step and position of the first id; positions: uint32 [1, L]
   * @returns f32 [rows, 1, V], logits behind the last id
   */
  step(
    ids: Tensor,
    place: { readonly caches: readonly Tensor[]; readonly lengths: Tensor; readonly positions: Tensor },
  ): Tensor;
}

/** What fits into the caches. */
export interface DecoderSizes {
  /** Texts side by side: row r looks at input floor(r * N / rows). */
  readonly rows: number;
  /** Ids that the caches hold of each. */
  readonly capacity: number;
}

/** What a plan for L new ids a row reads and writes. */
interface Feed {
  /** uint32 [rows, L] */
  readonly ids: DeviceTensor;
  /** uint32 [1, L] */
  readonly positions: DeviceTensor;
  /** f32 [rows, 1, V], behind the last id. */
  readonly logits: DeviceTensor;
  /** uint32 [rows, 1]: columns of the largest logits. */
  readonly likeliest: DeviceTensor;
}

/** Plans and caches for texts about one batch of inputs; `begin` starts new texts in the same memory. */
export class CachedDecoder {
  /** What the caches hold. */
  readonly sizes: DecoderSizes;
  /** What its programs record. */
  readonly network: CachedNetwork;
  readonly #memory: DeviceMemory;
  readonly #scope: TensorScope;
  readonly #caches: readonly DeviceTensor[];
  /** uint32 [1, 2]: keys after a call, position of its first id. */
  readonly #lengths: DeviceTensor;
  readonly #feeds = new Map<number, DeviceProgram<Feed>>();
  #reorder: DeviceProgram<DeviceTensor> | undefined;
  #run: TextRun | undefined;
  #disposed = false;

  /** @throws ShapeError for rows that are no multiple of the inputs; DeviceError where memory runs out */
  constructor(memory: DeviceMemory, network: CachedNetwork, sizes: DecoderSizes) {
    if (sizes.rows % network.inputs !== 0) {
      const expected = `a multiple of ${network.inputs}`;
      throw new ShapeError({
        op: network.name,
        problem: 'rows do not split into the inputs',
        expected,
        received: sizes.rows,
      });
    }
    this.sizes = sizes;
    this.network = network;
    this.#memory = memory;
    this.#scope = memory.scope();
    const { rows, capacity } = sizes;
    const { blocks, cacheWidth, name } = network;
    try {
      this.#lengths = this.#scope.tensor([1, 2], 'uint32', `${name} lengths`);
      this.#caches = Array.from({ length: blocks }, (_, i) =>
        this.#scope.tensor([rows, capacity, cacheWidth], memory.dtype, `${name} keys and values ${i}`),
      );
    } catch (error) {
      this.#scope.dispose();
      throw error;
    }
  }

  /** New texts; those before lose their caches. */
  begin(): StepDecoder {
    this.#run?.dispose();
    this.#run = new TextRun(this);
    return this.#run;
  }

  /**
   * Feeds ids behind the first `filled` of every row.
   * @param ids [rows] of equal length
   * @returns what the plan writes
   */
  async feed(ids: Sequences, filled: number): Promise<Feed> {
    const length = ids[0]?.length ?? 0;
    const program = await this.#feedOf(length);
    const { io } = program;
    io.ids.write(ids.flat());
    io.positions.write(Array.from({ length }, (_, i) => filled + i));
    this.#lengths.write([filled + length, filled]);
    await program.run();
    return io;
  }

  /** Row r takes over the first `filled` ids of row index[r], which looks at the same input. */
  async reorder(index: readonly number[], filled: number): Promise<void> {
    const program = await this.#reorderProgram();
    program.io.write(index);
    this.#lengths.write([filled, filled]);
    await program.run();
  }

  /** Ends its texts and frees programs and caches. */
  dispose(): void {
    this.#disposed = true;
    for (const feed of this.#feeds.values()) feed.dispose();
    this.#feeds.clear();
    this.#reorder?.dispose();
    this.#reorder = undefined;
    this.#run?.dispose();
    this.#scope.dispose();
  }

  /** @throws NumericsError for logits that are not finite */
  checkFinite(logits: Float32Array): void {
    checkFinite(logits, 'decode', this.#memory.dtype);
  }

  async #feedOf(length: number): Promise<DeviceProgram<Feed>> {
    const known = this.#feeds.get(length);
    if (known) return known;
    // One id at a time is what all texts come to; of the lengths that they begin with, the latest is kept.
    for (const [other, feed] of this.#feeds) {
      if (length === 1 || other === 1) continue;
      this.#feeds.delete(other);
      feed.dispose();
    }
    const { rows } = this.sizes;
    const made = await this.#program(`${rows} x ${length} ids`, (graph, scope): Feed => {
      const ids = scope.tensor([rows, length], 'uint32', 'ids');
      const positions = scope.tensor([1, length], 'uint32', 'positions');
      const values = this.network.step(graph.input(ids), {
        caches: this.#caches.map(cache => graph.input(cache)),
        lengths: graph.input(this.#lengths),
        positions: graph.input(positions),
      });
      const logits = scope.store(graph, values, 'logits');
      return { ids, positions, logits, likeliest: scope.store(graph, argmax(values), 'likeliest ids') };
    });
    this.#feeds.set(length, made);
    return made;
  }

  async #reorderProgram(): Promise<DeviceProgram<DeviceTensor>> {
    const { rows } = this.sizes;
    this.#reorder ??= await this.#program(`reorder ${rows}`, (graph, scope) => {
      const index = scope.tensor([1, rows], 'uint32', 'index');
      const lengths = graph.input(this.#lengths);
      const group = rows / this.network.inputs;
      for (const cache of this.#caches) cacheGather(graph.input(cache), graph.input(index), lengths, group);
      return index;
    });
    return this.#reorder;
  }

  #program<T>(label: string, record: Recording<T>): Promise<DeviceProgram<T>> {
    return DeviceProgram.compile(this.#memory, `${this.network.name} ${label}`, record, () => {
      if (!this.#disposed) return;
      throw new DeviceError({ op: 'decode', problem: 'the decoder was disposed', received: label });
    });
  }
}

/** Texts that grow. */
class TextRun implements StepDecoder {
  readonly vocab: number;
  readonly rows: number;
  readonly #decoder: CachedDecoder;
  #filled = 0;
  #ended = false;

  constructor(decoder: CachedDecoder) {
    this.#decoder = decoder;
    this.vocab = decoder.network.vocab;
    this.rows = decoder.sizes.rows;
  }

  async prefill(ids: Sequences): Promise<Float32Array> {
    const { logits } = await this.#feed(ids);
    const values = await logits.read();
    this.#decoder.checkFinite(values);
    return values;
  }

  async step(tokens: readonly number[], reorder?: readonly number[]): Promise<Float32Array> {
    this.#checkRows(reorder ?? tokens);
    if (reorder?.some((from, row) => from !== row)) {
      this.#checkGroups(reorder);
      await this.#decoder.reorder(reorder, this.#filled);
    }
    return this.prefill(tokens.map(id => [id]));
  }

  async greedyStep(tokens: readonly number[]): Promise<readonly number[]> {
    const { likeliest, logits } = await this.#feed(tokens.map(id => [id]));
    const found = Array.from(await likeliest.read());
    // Of a row of NaN the kernel takes id 0, which stands for padding in these vocabularies and is hardly ever the likeliest.
    if (found.includes(0)) this.#decoder.checkFinite(await logits.read());
    return found;
  }

  /** The memory stays with the decoder, for the next texts. */
  dispose(): void {
    this.#ended = true;
  }

  async #feed(ids: Sequences): Promise<Feed> {
    this.#checkRows(ids);
    const length = ids[0]?.length ?? 0;
    if (length === 0 || ids.some(row => row.length !== length)) {
      const received = ids.map(row => row.length);
      throw new ShapeError({ op: 'decode', problem: 'rows of ids differ', expected: 'equal lengths >= 1', received });
    }
    const { capacity } = this.#decoder.sizes;
    const filled = this.#filled;
    if (filled + length > capacity) {
      const [expected, received] = [`at most ${capacity} ids`, filled + length];
      const fix = 'Lower maxNewTokens, or end the text earlier.';
      throw new InputError({ op: 'decode', problem: 'the text is longer than its cache', expected, received, fix });
    }
    this.#filled += length;
    return this.#decoder.feed(ids, filled);
  }

  #checkRows(rows: readonly unknown[]): void {
    if (this.#ended) {
      const fix = 'Start the decoder again.';
      throw new InputError({ op: 'decode', problem: 'these texts have ended; their cache may hold others', fix });
    }
    if (rows.length === this.rows) return;
    const [expected, received] = [this.rows, rows.length];
    throw new ShapeError({ op: 'decode', problem: 'another number of rows', expected, received });
  }

  /** Rows that look at different inputs never take over from each other. */
  #checkGroups(reorder: readonly number[]): void {
    const group = this.rows / this.#decoder.network.inputs;
    const odd = reorder.findIndex((from, row) => Math.floor(from / group) !== Math.floor(row / group));
    if (odd < 0) return;
    const first = Math.floor(odd / group) * group;
    const [expected, received] = [`${first} to ${first + group - 1}`, reorder[odd]];
    throw new InputError({
      op: 'decode',
      problem: `row ${odd} would take over from another input`,
      expected,
      received,
    });
  }
}
