/** Settings of an edit under a name, written as the options of `pentimento edit`. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addArguments } from '../../src/cli/options.ts';
import { inOptions } from '../../src/cli/preset.ts';
import { argumentsIn } from '../../src/pipeline/diffedit/arguments.ts';
import type { RunArgs } from '../../src/pipeline/diffedit/types.ts';

/** A row of the table. */
export interface Variant {
  readonly name: string;
  /** As typed. */
  readonly options: string;
  /** What they mean to `run`, without picture, prompts and seed. */
  readonly args: Partial<RunArgs>;
  /** Whether the blend takes the level that the step ends at. */
  readonly mendQuirks: boolean;
}

const GENTLE = '--guidance-scale 2.5 --invert-guidance-scale 1';
const EMPTY = "--negative-prompt ''";
const SOFT = '--soft-mask --mask-exponent 0.6';

/** What the embedded model's folder recommends. */
function recommended(): string {
  const { settings } = JSON.parse(readFileSync('models/orchard/stable-diffusion/pentimento.json', 'utf8'));
  const value = (of: unknown) => (of === 'empty' ? '' : of);
  return Object.entries(settings)
    .map(([name, of]) => inOptions(name, value(of)))
    .join(' ');
}

/** The guidance of the mask scales the whole map, which is then divided by its mean: without any it is the same in half the time. */
const QUICK = '--mask-guidance-scale 1';

/** Those that have a name, in the order of the table. */
export const NAMED: Readonly<Record<string, string>> = {
  diffusers: '',
  'diffusers-mended': '--mend-quirks',
  demo: `${GENTLE} --mend-quirks`,
  'demo-empty': `${GENTLE} ${EMPTY} --mend-quirks`,
  'demo-clean': `${GENTLE} --mask-cleanup --mend-quirks`,
  soft: `${GENTLE} ${SOFT}`,
  'soft-empty': `${GENTLE} ${EMPTY} ${SOFT}`,
  'soft-even-empty': `${GENTLE} ${EMPTY} --soft-mask`,
  'soft-lifted-empty': `${GENTLE} ${EMPTY} --soft-mask --mask-cleanup`,
  'soft-empty-7.5': `--guidance-scale 7.5 --invert-guidance-scale 1 ${EMPTY} ${SOFT}`,
  'soft-empty-full': `${GENTLE} ${EMPTY} ${SOFT} --inpaint-strength 1`,
  'soft-empty-full-2': `${GENTLE} ${EMPTY} ${SOFT} --inpaint-strength 1 --mask-thresholding-ratio 2 ${QUICK}`,
  recommended: recommended(),
  'recommended-rounds': `${recommended()} --inversion-rounds 1`,
  'recommended-ddpm': `${recommended()} --inversion ddpm`,
  'recommended-no-interval': `${recommended()} --guidance-interval 0,1`,
  'recommended-rescale': `${recommended()} --guidance-rescale 0.7`,
  'recommended-clean': `${recommended()} --mask-cleanup`,
};

/**
 * Reads a variant.
 * @param text a name of NAMED, or NAME=OPTIONS, such as "strong=--guidance-scale 5 --negative-prompt ''"
 * @throws Error naming what is wrong with it
 */
export function parseVariant(text: string): Variant {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  const options = at < 0 ? (Object.hasOwn(NAMED, name) ? NAMED[name] : undefined) : text.slice(at + 1).trim();
  if (name === '' || options === undefined) {
    throw new Error(`no variant is called "${name}"; there are ${Object.keys(NAMED).join(', ')}, and NAME=OPTIONS`);
  }
  const command = new Command(name)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })
    .helpOption(false)
    .allowExcessArguments(false)
    .option('--mend-quirks');
  for (const group of ['Mask', 'Inversion', 'Steps and guidance', 'Edit'] as const) addArguments(command, group);
  try {
    command.parse(wordsOf(options), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) throw new Error(`variant ${name}: ${error.message.replace(/^error: /, '')}`);
    throw error;
  }
  const parsed = command.opts<{ mendQuirks?: boolean }>();
  return { name, options, args: argumentsIn('run', parsed), mendQuirks: parsed.mendQuirks ?? false };
}

/** Reads variants, each by its `parseVariant`. @throws Error as that, or naming a name that two have, or that no file can have */
export function parseVariants(texts: readonly string[]): Variant[] {
  const variants = texts.map(parseVariant);
  for (const [i, { name }] of variants.entries()) {
    if (/[/\\\0]/.test(name)) throw new Error(`variant ${name}: a name of files has no / and no \\`);
    if (variants.findIndex(other => other.name === name) < i)
      throw new Error(`two variants are called "${name}": the second would take the first one's place`);
  }
  return variants;
}

/** Words as a shell takes them, quotes of both kinds included. */
function wordsOf(text: string): string[] {
  const found = text.match(/(?:[^\s'"]+|'[^']*'|"[^"]*")+/g) ?? [];
  return found.map(word => word.replace(/'([^']*)'|"([^"]*)"/g, (_, single, double) => single ?? double));
}
