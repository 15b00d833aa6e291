/** BLIP's text decoder at work: its plans, its caches of keys and values, and texts that grow by one id a step. */
import { InputError } from '../core/errors.ts';
import type { Sequences, StepDecoder } from '../generation/index.ts';
import type { Gpu } from '../gpu/device.ts';
import type { BlipModel } from '../models/blip/index.ts';
import type { DeviceTensor } from '../tensor/device-tensor.ts';
import { Graph } from '../tensor/graph.ts';
import { argmax, cacheGather, type Tensor } from '../tensor/ops.ts';
import { type Memory, Program, Scope } from './components.ts';

export interface DecoderHome {
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly dtype: 'float32' | 'float16';
  readonly model: BlipModel;
}

export interface DecoderSizes {
  /** Texts side by side: row r looks at picture floor(r * N / rows). */
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
  /** float32 [rows, 1, V], behind the last id. */
  readonly logits: DeviceTensor;
  /** uint32 [rows, 1]: columns of the largest logits. */
  readonly likeliest: DeviceTensor;
}

/** Plans and caches for texts about one batch of pictures; `begin` starts new texts in the same memory. */
export class TextDecoder {
  readonly sizes: DecoderSizes;
  readonly vocab: number;
  /** Longest text in ids. */
  readonly positions: number;
  readonly #home: DecoderHome;
  readonly #picture: readonly DeviceTensor[];
  readonly #scope: Scope;
  readonly #caches: readonly DeviceTensor[];
  /** uint32 [1, 2]: keys after a call, position of its first one. */
  readonly #lengths: DeviceTensor;
  readonly #feeds = new Map<number, Program<Feed>>();
  #reorder: Program<DeviceTensor> | undefined;

  /** @param picture keys and values of the pictures, one for each layer [N, S, ...] */
  constructor(home: DecoderHome, picture: readonly DeviceTensor[], sizes: DecoderSizes) {
    const { text } = home.model;
    this.sizes = sizes;
    this.vocab = text.config.vocabulary;
    this.positions = text.config.positions;
    this.#home = home;
    this.#picture = picture;
    this.#scope = new Scope(home.gpu, home.memory);
    const shape = [sizes.rows, sizes.capacity, text.cacheWidth];
    this.#lengths = this.#scope.tensor([1, 2], 'uint32', 'text lengths');
    this.#caches = picture.map((_, i) => this.#scope.tensor(shape, home.dtype, `text keys and values ${i}`));
  }

  /** New texts; those before lose their caches. */
  begin(): StepDecoder {
    return new TextRun(this);
  }

  /**
   * Feeds ids behind the first `filled` of every row.
   * @param ids [rows] of equal length
   * @returns what the plan wrote
   */
  async feed(ids: Sequences, filled: number): Promise<Feed> {
    const length = ids[0]?.length ?? 0;
    const { plan, io } = await this.#feedOf(length);
    io.ids.write(ids.flat());
    io.positions.write(Array.from({ length }, (_, i) => filled + i));
    this.#lengths.write([filled + length, filled]);
    plan.run();
    return io;
  }

  /** Row r takes over the first `filled` ids of row index[r], which belongs to the same picture. */
  async reorder(index: readonly number[], filled: number): Promise<void> {
    const { plan, io } = await this.#reorderPlan();
    io.write(index);
    this.#lengths.write([filled, filled]);
    plan.run();
  }

  dispose(): void {
    for (const feed of this.#feeds.values()) feed.dispose();
    this.#feeds.clear();
    this.#reorder?.dispose();
    this.#reorder = undefined;
    this.#scope.dispose();
  }

  async #feedOf(length: number): Promise<Program<Feed>> {
    const known = this.#feeds.get(length);
    if (known) return known;
    const { rows } = this.sizes;
    const made = await this.#program(`${rows} x ${length} ids`, (graph, scope): Feed => {
      const ids = scope.tensor([rows, length], 'uint32', 'ids');
      const positions = scope.tensor([1, length], 'uint32', 'positions');
      const picture = this.#picture.map(tensor => ({ tensor: graph.input(tensor) }));
      const lengths = graph.input(this.#lengths);
      const caches = this.#caches.map(tensor => ({ tensor: graph.input(tensor), lengths }));
      const step = { positions: graph.input(positions), caches };
      const values = this.#home.model.text.forwardCached(graph.input(ids), picture, step);
      const keep = (tensor: Tensor, label: string): DeviceTensor => {
        const target = scope.tensor(tensor.shape, tensor.dtype, label);
        graph.store(tensor, target);
        return target;
      };
      return { ids, positions, logits: keep(values, 'logits'), likeliest: keep(argmax(values), 'likeliest ids') };
    });
    this.#feeds.set(length, made);
    return made;
  }

  async #reorderPlan(): Promise<Program<DeviceTensor>> {
    const { rows } = this.sizes;
    const group = rows / (this.#picture[0]?.shape[0] ?? 1);
    this.#reorder ??= await this.#program(`reorder ${rows}`, (graph, scope) => {
      const index = scope.tensor([1, rows], 'uint32', 'index');
      const lengths = graph.input(this.#lengths);
      for (const cache of this.#caches) cacheGather(graph.input(cache), graph.input(index), lengths, group);
      return index;
    });
    return this.#reorder;
  }

  async #program<T>(label: string, record: (graph: Graph, scope: Scope) => T): Promise<Program<T>> {
    const { gpu, memory, dtype } = this.#home;
    const scope = new Scope(gpu, memory);
    try {
      const graph = new Graph(gpu, { dtype });
      const io = record(graph, scope);
      return new Program(await graph.compile({ label: `blip text ${label}` }), io, scope);
    } catch (error) {
      scope.dispose();
      throw error;
    }
  }
}

/** Texts that grow. */
class TextRun implements StepDecoder {
  readonly vocab: number;
  readonly rows: number;
  readonly #decoder: TextDecoder;
  #filled = 0;

  constructor(decoder: TextDecoder) {
    this.#decoder = decoder;
    this.vocab = decoder.vocab;
    this.rows = decoder.sizes.rows;
  }

  async prefill(ids: Sequences): Promise<Float32Array> {
    const { logits } = await this.#feed(ids);
    return logits.read();
  }

  async step(tokens: readonly number[], reorder?: readonly number[]): Promise<Float32Array> {
    if (reorder?.some((from, row) => from !== row)) await this.#decoder.reorder(reorder, this.#filled);
    return this.prefill(tokens.map(id => [id]));
  }

  async greedyStep(tokens: readonly number[]): Promise<readonly number[]> {
    const { likeliest } = await this.#feed(tokens.map(id => [id]));
    return Array.from(await likeliest.read());
  }

  /** The memory stays with the decoder, for the next texts. */
  dispose(): void {
    this.#filled = this.#decoder.sizes.capacity;
  }

  async #feed(ids: Sequences): Promise<Feed> {
    const length = ids[0]?.length ?? 0;
    const { capacity } = this.#decoder.sizes;
    const filled = this.#filled;
    if (filled + length > capacity) {
      const problem = 'the caption is longer than the text decoder writes';
      const received = filled + length;
      const fix = 'Lower maxNewTokens, or end the caption earlier.';
      throw new InputError({ op: 'generate', problem, expected: `at most ${capacity} ids`, received, fix });
    }
    this.#filled += length;
    return this.#decoder.feed(ids, filled);
  }
}
