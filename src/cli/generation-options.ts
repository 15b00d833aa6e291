/** The options of the commands that make pictures of words. Those of the pipelines' arguments come from their table. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  ARGUMENTS,
  type Argument,
  type ArgumentsOf,
  defaultOf,
  type Kind,
  type OptionGroup,
} from '../pipeline/image-generation/arguments.ts';
import { fewStepsOption } from './distilled.ts';
import { integer, parseSize, type Size } from './option-values.ts';
import { addPlainModelOptions, type ModelOptions, optionOf } from './options.ts';
import { samplerOption } from './sampler-names.ts';

/** Options of all three commands, parsed. */
export interface GenerationOptionsTyped extends ModelOptions {
  readonly output: string;
  readonly negativePrompt?: readonly string[];
  readonly numImagesPerPrompt: number;
  readonly scheduler?: string;
  readonly previewEvery?: number;
  readonly size?: Size;
}

/** Arguments that a command line says in lists of numbers. */
const LISTS = ['timesteps', 'sigmas'];

/**
 * Adds what all three commands have.
 * @param output the file that is written unless told
 * @param addSize adds what says how large pictures are
 */
export function addGenerationOptions(
  command: Command,
  kind: Kind,
  output: string,
  addSize: (command: Command) => void = addPlainSize,
): Command {
  command
    .option('-o, --output <file>', 'PNG or JPEG to write; of several, numbers and a sheet of all go beside it', output)
    .option(
      '--preview-every <n>',
      'every so many steps write what the latents look like, beside the output, until it is there',
      integer(1),
    );
  for (const group of ['Prompts', 'Steps and guidance', 'Picture'] as const) addGroup(command, kind, group);
  command.optionsGroup('Steps and guidance:').addOption(samplerOption()).addOption(fewStepsOption());
  addSize(command);
  return addPlainModelOptions(command);
}

/** A size, where there is no picture that has one. */
function addPlainSize(command: Command): void {
  command
    .optionsGroup('Picture:')
    .addOption(
      new Option('--size <WxH>', "sides in pixels, multiples of 8 (default: the model's own)").argParser(parseSize),
    );
}

function addGroup(command: Command, kind: Kind, group: OptionGroup): void {
  command.optionsGroup(`${group}:`);
  for (const [name, row] of rowsOf(kind)) {
    if (row.option?.[0] !== group) continue;
    const { default: _, ...rest } = row;
    const byDefault = defaultOf(kind, name);
    const option = optionOf(name, { ...rest, ...(byDefault === undefined ? {} : { default: byDefault }) });
    if (LISTS.includes(name)) option.argParser(numbers);
    if (name === 'negativePrompt')
      option.argParser((text: string, before: readonly string[] = []) => [...before, text]);
    command.addOption(option);
  }
}

/** The arguments of a pipeline that have an option. */
function rowsOf(kind: Kind): [keyof typeof ARGUMENTS, Argument][] {
  const rows = Object.entries(ARGUMENTS) as [keyof typeof ARGUMENTS, Argument][];
  return rows.filter(([, row]) => row.option && row.in.split(' ').includes(kind));
}

/** The arguments that options give, for `generate`. */
export function argumentsOf<K extends Kind>(
  kind: K,
  o: GenerationOptionsTyped,
  prompts: readonly string[],
): Partial<ArgumentsOf[K]> {
  const [negative] = o.negativePrompt ?? [];
  const negatives = o.negativePrompt?.length === 1 ? prompts.map(() => negative) : o.negativePrompt;
  const given: Readonly<Record<string, unknown>> = { ...o, negativePrompt: negatives };
  const values = rowsOf(kind).map(([name]) => [name, oneOrAll(given[name])] as const);
  const args = Object.fromEntries(values.filter(([, value]) => value !== undefined));
  return { ...args, prompt: oneOrAll(prompts) } as Partial<ArgumentsOf[K]>;
}

/** One text by itself: a list of it would ask for a list of the other prompts too. */
function oneOrAll(value: unknown): unknown {
  const isTexts = Array.isArray(value) && typeof value[0] === 'string';
  return isTexts && value.length === 1 ? value[0] : value;
}

function numbers(text: string): number[] {
  const values = text.split(',').map(part => (part.trim() === '' ? Number.NaN : Number(part)));
  if (values.every(Number.isFinite)) return values;
  throw new InvalidArgumentError('Give numbers with commas between them.');
}
