/**
 * Reads the fields of a model's config.json with checks. A field that would make another model is refused by name: it must
 * not load silently. What nobody knows is passed over with a warning, as the writers of these files do.
 */
import { InputError } from '../core/errors.ts';

const STABLE_DIFFUSION = 'Use a Stable Diffusion 1.x or 2.x folder as diffusers saves it.';

/** One config.json under examination; remembers which fields were asked for. */
export class ConfigReader {
  readonly op: string;
  readonly path: string;
  private readonly fix: string;
  private readonly json: Readonly<Record<string, unknown>>;
  private readonly seen = new Set<string>();

  /**
   * @param op name for messages, such as 'UNetConfig'
   * @param json the parsed file
   * @param path of the file, for messages
   * @param fix what to do about a field that is refused, for messages
   * @throws InputError when the file holds no JSON object
   */
  constructor(op: string, json: unknown, path: string, fix: string = STABLE_DIFFUSION) {
    this.op = op;
    this.path = path;
    this.fix = fix;
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw new InputError({ op, problem: 'not a config', expected: 'a JSON object', value: json, path });
    }
    this.json = json as Record<string, unknown>;
  }

  /** The field as it stands, `undefined` where it is absent; null is a value. */
  raw(name: string): unknown {
    this.seen.add(name);
    return this.json[name];
  }

  /** The field, or `fallback` where it is absent or null. */
  private value(name: string, fallback: unknown): unknown {
    return this.raw(name) ?? fallback;
  }

  /** A finite number. */
  number(name: string, fallback: number): number {
    const value = this.value(name, fallback);
    return typeof value === 'number' && Number.isFinite(value) ? value : this.refuse(name, value, 'a number');
  }

  /** A whole number of at least `least`. */
  count(name: string, fallback: number, least = 1): number {
    const value = this.value(name, fallback);
    return isCount(value, least) ? value : this.refuse(name, value, `a whole number >= ${least}`);
  }

  /** A whole number, or null where the field is null or absent. */
  countOrNull(name: string): number | null {
    const value = this.value(name, null);
    return value === null || isCount(value, 1) ? value : this.refuse(name, value, 'a whole number >= 1 or null');
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.value(name, fallback);
    return typeof value === 'boolean' ? value : this.refuse(name, value, 'true or false');
  }

  /** One of the listed words. */
  oneOf<T extends string>(name: string, words: readonly T[], fallback: T): T {
    const value = this.value(name, fallback);
    return words.find(word => word === value) ?? this.refuse(name, value, `one of ${words.join(', ')}`);
  }

  /** What one of a table's words stands for. */
  named<T>(name: string, table: Readonly<Record<string, T>>, fallback: string): T {
    return table[this.oneOf(name, Object.keys(table), fallback)] as T;
  }

  /** A list of the listed words, at least one. */
  words<T extends string>(name: string, words: readonly T[], fallback: readonly T[]): readonly T[] {
    const value = this.value(name, fallback);
    if (!Array.isArray(value) || value.length === 0) return this.refuse(name, value, 'a list of block types');
    return value.map(item => words.find(word => word === item) ?? this.refuse(name, item, `only ${words.join(', ')}`));
  }

  /** A list of whole numbers >= 1, at least one. */
  counts(name: string, fallback: readonly number[]): readonly number[] {
    const value = this.value(name, fallback);
    const fits = Array.isArray(value) && value.length > 0 && value.every(item => isCount(item, 1));
    return fits ? (value as number[]) : this.refuse(name, value, 'a list of whole numbers >= 1');
  }

  /** A whole number for all levels or a list with one for each. */
  perLevel(name: string, levels: number, fallback: number): readonly number[] {
    const value = this.value(name, fallback);
    if (isCount(value, 1)) return new Array<number>(levels).fill(value);
    const fits = Array.isArray(value) && value.length === levels && value.every(item => isCount(item, 1));
    return fits ? (value as number[]) : this.refuse(name, value, `a whole number >= 1, or a list of ${levels}`);
  }

  /** Takes only the given values (or the field's absence): the others ask for something that is not built. */
  only(name: string, ...allowed: readonly (string | number | boolean | null)[]): void {
    const value = this.raw(name);
    if (value === undefined || allowed.some(item => item === value)) return;
    const every = Array.isArray(value) && value.length > 0 && value.every(item => allowed.includes(item));
    if (!every) this.refuse(name, value, allowed.map(String).join(' or '));
  }

  /** Fields that change no number here: training settings, or arguments of parts that are switched off. */
  without(...names: readonly string[]): void {
    for (const name of names) this.seen.add(name);
  }

  /**
   * Refuses fields that would make another network, and names once all those that nobody knows. Names that begin with "_" are
   * private notes of the writer; null and false switch a later version's addition off.
   * @param refused fields of related networks and of stored weights that are not built, whatever their values
   * @param warn told of unknown fields, in one sentence
   * @throws InputError naming the first refused field
   */
  finish(refused: readonly string[], warn: (message: string) => void): void {
    const unknown: string[] = [];
    for (const [name, value] of Object.entries(this.json)) {
      if (this.seen.has(name) || name.startsWith('_') || value === null || value === false) continue;
      if (refused.includes(name)) this.refuse(name, value, 'no such field');
      unknown.push(name);
    }
    if (unknown.length === 0) return;
    const [fields, them] = unknown.length === 1 ? ['field', 'it is'] : ['fields', 'they are'];
    warn(`${this.path}: unknown ${fields} ${unknown.join(', ')}; ${them} ignored.`);
  }

  /** @throws InputError naming field, value and file */
  refuse(name: string, received: unknown, expected: string): never {
    throw new InputError({
      op: this.op,
      problem: `unsupported ${name}`,
      expected,
      received: JSON.stringify(received),
      path: this.path,
      fix: this.fix,
    });
  }
}

function isCount(value: unknown, least: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= least;
}
