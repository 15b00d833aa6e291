/**
 * Errors of the library in the words of the command line: names of arguments become options, names of calls become commands,
 * and a remedy that only a program could follow is left out.
 */
import type { PentimentoError } from '../core/errors.ts';
import { settingNames } from '../generation/settings.ts';
import { ARGUMENTS, type Argument } from '../pipeline/diffedit/arguments.ts';
import {
  ARGUMENTS as GENERATION_ARGUMENTS,
  type Argument as GenerationArgument,
} from '../pipeline/image-generation/arguments.ts';
import { flagOf, kebabFlag } from './options.ts';

/** Arguments of the library that another option stands for than one of the same name. */
const OPTIONS: Readonly<Record<string, string>> = {
  ...{ dtype: '--dtype', gpu: '--device', adapterName: '--device', variant: '--variant', revision: '--revision' },
  ...{ cacheDir: '--cache-dir', mendQuirks: '--mend-quirks', size: '--size', from: '--from', to: '--to' },
  ...{ modelCpuOffload: '--enable-model-cpu-offload', enableModelCpuOffload: '--enable-model-cpu-offload' },
  ...{ streamWeights: '--stream-weights', hostMemory: '--host-memory' },
  ...{ enableVaeTiling: '--enable-vae-tiling', enableVaeSlicing: '--enable-vae-slicing', offload: '--no-offload' },
  ...{
    maskImage: '--mask',
    imageLatents: '--latents',
    pasteBack: '--paste-back',
    fit: '--fit',
    decodeLatents: '--decode-latents',
  },
  ...{ maxNewTokens: '--max-new-tokens', temperature: '--temperature', topK: '--top-k', n: '--n' },
  ...{ numReturnSequences: '--n', numPrompts: '--num-prompts', captionPrefix: '--prefix', prefix: '--prefix' },
  ...{ fromSingleFile: '--model', loadLoraWeights: '--lora', loadTextualInversion: '--embedding' },
  ...{ predictionType: '--prediction-type', extractEma: '--ema', ema: '--ema', tokenizer: '--tokenizer' },
  ...{ config: '--config', originalConfig: '--config' },
  ...{
    image: '<image>',
    maxBytes: '--max-memory',
    maxBindingBytes: '--max-binding',
    trusted: '--trusted',
    allowTiles: '--allow-tiles',
    tuning: '--tuning',
    contactSheet: '--contact-sheet',
  },
};

/** Commands that do `generate`, each of a pipeline. */
const GENERATES: readonly string[] = ['generate', 'img2img', 'inpaint'];

/** Arguments of the pipelines that make pictures, beside those whose option has their own name. */
const WORDS_OF_GENERATION: Readonly<Record<string, string>> = {
  ...{ prompt: '<prompts...>', width: '--size', height: '--size', generator: '--seed' },
  ...Object.fromEntries(
    Object.entries<GenerationArgument>(GENERATION_ARGUMENTS).flatMap(([name, row]) =>
      row.option ? [[name, kebabFlag(name)]] : [],
    ),
  ),
};

/** The same where a command calls an option otherwise. */
const OPTIONS_OF: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  invert: { prompt: '--source', negativePrompt: '--negative-prompt' },
  caption: { prompt: '--prefix' },
  ...Object.fromEntries(GENERATES.map(name => [name, WORDS_OF_GENERATION])),
  guide: { n: '--num-prompts', numReturnSequences: '--num-prompts' },
};

/** Methods that a command does. */
const COMMANDS: Readonly<Record<string, string>> = {
  generateMask: '`pentimento mask`',
  invert: '`pentimento invert`',
  edit: '`pentimento edit`',
  run: '`pentimento edit`',
  runGuide: '`pentimento guide`',
  generatePrompts: '`pentimento prompts`',
  caption: '`pentimento caption`',
};

/** Whole phrases, before single words. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/,? or tune\(\)/g, ''],
  [/,? or pass [^,.;]* of (?:a|the) pipeline\b/g, ''],
  [/\b(?:an)?other one: (?:\w+)\.fromConfig\(config, \{ \w+ \}\)/g, 'another value in scheduler_config.json'],
  [/(?:\{ )?\btoken: '([^']+)'(?: \})?/g, '--embedding FILE:$1'],
  [/\bdtype '(\w+)' use '(\w+)'/g, '--dtype $1 use --dtype $2'],
  [/\benableVaeTiling\(\{ pixels: (\d+) \}\)/g, '--vae-tile $1'],
  [/\bsize: \{ width: (\d+), height: (\d+) \}/g, '--size $1x$2'],
  [/\bsize: 'own'/g, '--keep-size'],
  [/\bVAE tiling\b/g, '--enable-vae-tiling'],
  [/\ban adapter with a larger max\w+/g, 'an adapter with larger limits'],
  [/\bRequest a new one with Gpu\.request\(\)/g, 'Run the command again'],
  [/\b[Ll]eave the variant out\b/g, 'Leave --variant out'],
  [/,? and(?:, in a page,)? that (?:the|its) server allows other origins \(CORS\)/g, ''],
];

/** What no command line has: names in camelCase, calls, modules of this package. */
const OF_PROGRAMS = /\b[a-z]+[A-Z][a-z]\w*|\w\(|'pentimento\/|\bawait\b|\bnew [A-Z]/;
/** Remedies in Python are for everybody. */
const OF_PYTHON = /\btorch\.\w+\([^)]*\)/g;

/**
 * One line for the error, with nothing in it that only a program could do.
 * @param command which ran, such as 'edit'; '' where none did
 */
export function inCommandWords(error: PentimentoError, command: string): string {
  return error.reworded((text, part) => {
    if (part === 'op') return opOf(text, command);
    if (part === 'path') return optionOf(text, command) ?? text;
    const said = reworded(text, command);
    return part === 'fix' ? withoutPrograms(said) : said.replaceAll(/\b[a-z]+(?:[A-Z][a-z]+)+\b|\b\w+\(\)/g, spaced);
  });
}

/** A warning in the same words; what stands in double quotes is the user's own text and stays as it is. */
export function warningInCommandWords(warning: string): string {
  const parts = warning.split(/("[^"]*")/);
  return parts.map((part, i) => (i % 2 === 0 ? reworded(part, '') : part)).join('');
}

function opOf(op: string, command: string): string {
  if (/\.from(Pretrained|SingleFile)$|^openSingleFile$|^LdmTrainingConfig$/.test(op)) return 'model';
  if (/^(tuningFor|parseTuningTable|checkTuning)$/.test(op)) return 'tuning';
  if (op === 'generate' && GENERATES.includes(command)) return `\`pentimento ${command}\``;
  return Object.hasOwn(COMMANDS, op) && command !== '' ? command : op;
}

function reworded(text: string, command: string): string {
  const phrased = PHRASES.reduce((said, [phrase, words]) => said.replaceAll(phrase, words), text);
  return phrased
    .replaceAll(/\b([a-z]\w*)(?:: | )'([^']+)'/gi, (all, name, value) => withValue(name, value, command) ?? all)
    .replaceAll(
      /\b([a-z]\w*): (-?\d[\d.]*\b|true|false)/gi,
      (all, name, value) => withValue(name, value, command) ?? all,
    )
    .replaceAll(/(?<!-)\bdtype (float(?:16|32))/g, '--dtype $1')
    .replaceAll(/\{ (--[^{}]*) \}/g, '$1')
    .replaceAll(/\b([a-z]\w*)\(\)/gi, (all, name: string) => COMMANDS[name] ?? optionOf(name, command) ?? all)
    .replaceAll(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, name => optionOf(name, command) ?? settingOf(name) ?? name);
}

function withValue(name: string, value: string, command: string): string | undefined {
  const option = optionOf(name, command);
  return option && (value === 'true' ? option : `${option} ${value}`);
}

/** The option that stands for an argument; undefined where there is none. */
function optionOf(name: string, command: string): string | undefined {
  const named = { ...OPTIONS, ...OPTIONS_OF[command] };
  if (Object.hasOwn(named, name)) return named[name];
  const row: Argument | undefined = Object.entries<Argument>(ARGUMENTS).find(([own]) => own === name)?.[1];
  return row?.option ? flagOf(name, row) : undefined;
}

/** Settings of generation that have no option come from the model's folder. */
function settingOf(name: string): string | undefined {
  if (!(settingNames() as readonly string[]).includes(name)) return undefined;
  return `${name.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)} in generation_config.json`;
}

/** The sentences that a user of the command can follow. */
function withoutPrograms(fix: string): string {
  const sentences = fix.split(/(?<=[.!?]) (?=[A-Z])/);
  return sentences.filter(sentence => !OF_PROGRAMS.test(sentence.replaceAll(OF_PYTHON, ''))).join(' ');
}

/** In words: `noise scale` for noiseScale. */
function spaced(name: string): string {
  return name.replace('()', '').replaceAll(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`);
}
