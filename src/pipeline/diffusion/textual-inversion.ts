/**
 * Words that a text encoder learns from files: each is a token or several, and the rows of the token embedding behind them.
 * Gal et al. 2022, "An Image is Worth One Word", https://arxiv.org/abs/2208.01618. Reference: diffusers 0.34.0,
 * loaders/textual_inversion.py. The files are read in io/textual-inversion.ts.
 */
import { InputError, ShapeError } from '../../core/errors.ts';
import type { TensorSource } from '../../core/tensor-source.ts';
import { withTableRows } from '../../io/table-rows.ts';
import type { TextualInversion } from '../../io/textual-inversion.ts';
import { type ClipTextConfig, ClipTextModel } from '../../models/stable-diffusion/index.ts';
import type { Weights } from '../../nn/weights.ts';
import type { ClipTokenizer } from '../../tokenizers/index.ts';
import type { Network } from '../runtime/network.ts';

const OP = 'loadTextualInversion';
const KIND = 'textual inversion';
const TABLE = /^(text_model\.)?embeddings\.token_embedding\.weight$/;

/** An embedding, and the word that shall mean it. */
export interface NamedInversion extends TextualInversion {
  readonly token: string;
}

/** A word that is loaded. */
interface Word {
  readonly token: string;
  /** Its tokens, one a vector: `tok`, `tok_1`, `tok_2` ... */
  readonly tokens: readonly string[];
  /** [D] each. */
  readonly vectors: readonly Float32Array[];
}

/**
 * What makes the text encoder of a checkpoint, or of a view of it: where the view's table has more rows, the model has so many
 * words more.
 * @param config the folder's
 * @returns takes a cursor at the view's root, and the checkpoint itself
 */
export function clipTextOf(config: ClipTextConfig): (weights: Weights, stored: TensorSource) => ClipTextModel {
  return (weights, stored) => {
    const name = tableOf(stored) ?? '';
    const added = (weights.shape(name)?.[0] ?? 0) - (stored.tensors.get(name)?.shape[0] ?? 0);
    return new ClipTextModel(weights, { ...config, vocabulary: config.vocabulary + added });
  };
}

/** The words of one pipeline: its tokenizer and its text encoder know the same ones at all times. */
export class TextualInversions {
  readonly #network: Network<ClipTextModel>;
  readonly #tokenizer: ClipTokenizer;
  #words: readonly Word[] = [];

  constructor(network: Network<ClipTextModel>, tokenizer: ClipTokenizer) {
    this.#network = network;
    this.#tokenizer = tokenizer;
  }

  /** The words that are loaded, in their order. */
  get tokens(): readonly string[] {
    return this.#words.map(word => word.token);
  }

  /**
   * Adds words; the text encoder leaves the device and is loaded anew by the next call. Where one word is refused, none is added.
   * @throws InputError for a token that is known already, twice in the list, or none at all; ShapeError for vectors of another
   * width than the text encoder's
   */
  load(inversions: readonly NamedInversion[]): void {
    const words = inversions.map(inversion => this.#wordOf(inversion));
    const seen = new Set<string>();
    for (const [i, word] of words.entries()) {
      for (const token of word.tokens) {
        this.#checkNew(token, word, inversions[i]?.label ?? '');
        if (seen.has(token)) throw refusal('a token is given twice', token, 'tokens that differ', 'Give each its own.');
        seen.add(token);
      }
    }
    this.#set([...this.#words, ...words]);
  }

  /**
   * Takes words away with all their vectors, and gives back the state before they were loaded.
   * @param given one, or several; all by default
   * @throws InputError for a token that is not loaded
   */
  unload(given: string | readonly string[] = this.tokens): void {
    if (typeof given !== 'string' && !Array.isArray(given)) {
      const [problem, expected] = ['not words', 'a token, or an array of tokens'];
      throw new InputError({ op: 'unloadTextualInversion', problem, expected, received: given, path: 'tokens' });
    }
    const tokens: readonly string[] = typeof given === 'string' ? [given] : given;
    for (const token of tokens) {
      if (this.#words.some(word => word.token === token)) continue;
      const loaded = this.tokens.length > 0 ? this.tokens.map(known => JSON.stringify(known)).join(', ') : 'none';
      throw new InputError({
        op: 'unloadTextualInversion',
        problem: 'no such embedding is loaded',
        expected: loaded,
        received: JSON.stringify(token),
        path: 'tokens',
      });
    }
    if (tokens.length > 0) this.#set(this.#words.filter(word => !tokens.includes(word.token)));
  }

  #wordOf({ token, vectors, label }: NamedInversion): Word {
    const { width } = this.#network.model.config;
    const { data, shape } = vectors;
    const count = shape.length === 1 ? 1 : (shape[0] ?? 0);
    if (shape.length < 1 || shape.length > 2 || shape.at(-1) !== width || count < 1) {
      throw new ShapeError({
        op: OP,
        problem: 'the embedding does not fit the text encoder',
        expected: `[n, ${width}]`,
        received: shape,
        path: label,
        fix: 'Stable Diffusion 1.x takes vectors of 768 numbers, 2.x of 1024: use an embedding trained for this model.',
      });
    }
    const broken = data.findIndex(value => !Number.isFinite(value));
    if (broken >= 0) {
      const [expected, received] = ['finite numbers', data[broken]];
      const fix = 'Get a sound file: this one would make every picture black.';
      throw new InputError({ op: OP, problem: 'the embedding is damaged', expected, received, path: label, fix });
    }
    const rows = Array.from({ length: count }, (_, i) => data.slice(i * width, (i + 1) * width));
    return { token, tokens: rows.map((_, i) => (i === 0 ? token : `${token}_${i}`)), vectors: rows };
  }

  /** As diffusers: neither a token nor its numbered companions may be in the vocabulary. */
  #checkNew(token: string, word: Word, label: string): void {
    if (typeof token !== 'string' || token.trim() === '') {
      throw refusal('an embedding without a token', JSON.stringify(token), 'a word', `Name one for ${label}.`);
    }
    const taken = [token, `${word.token}_1`].find(name => this.#tokenizer.tokenId(name) !== undefined);
    if (taken === undefined) return;
    const fix = this.tokens.includes(word.token)
      ? `Unload it first: unloadTextualInversion(${JSON.stringify(word.token)}).`
      : 'Choose another token for the embedding.';
    throw refusal('the vocabulary has that token already', taken, 'a new one', fix);
  }

  /** Brings tokenizer and text encoder to these words; where that fails, both are as they were. */
  #set(words: readonly Word[]): void {
    const [tokenizer, network] = [this.#tokenizer, this.#network];
    const before = this.#words.flatMap(word => word.tokens);
    const tokens = words.flatMap(word => word.tokens);
    const vectors = words.flatMap(word => word.vectors);
    tokenizer.removeTokens(before);
    try {
      const ids = tokenizer.addTokens(tokens);
      const rows = new Map(ids.map((id, i) => [id, vectors[i] as Float32Array]));
      const table = tableOf(network.source) ?? '';
      network.adapt(KIND, rows.size === 0 ? undefined : source => withTableRows(source, table, rows));
    } catch (error) {
      tokenizer.removeTokens(tokens);
      tokenizer.addTokens(before);
      throw error;
    }
    this.#words = words;
  }
}

function tableOf(source: TensorSource): string | undefined {
  return [...source.tensors.keys()].find(key => TABLE.test(key));
}

function refusal(problem: string, token: string, expected: string, fix: string): InputError {
  return new InputError({ op: OP, problem, expected, received: JSON.stringify(token), path: 'token', fix });
}
