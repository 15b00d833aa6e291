/**
 * Every option of the command line, in groups that the commands share. Those of DiffEdit's arguments come from its table,
 * in kebab-case, with its defaults and checks: a wrong value is refused before anything is loaded.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../core/errors.ts';
import type { FitMode } from '../io/fit.ts';
import {
  ARGUMENTS,
  type Argument,
  type ArgumentName,
  type Method,
  type OptionGroup,
} from '../pipeline/diffedit/arguments.ts';
import { RECOMMENDED_FILE } from '../pipeline/diffedit/recommended.ts';
import type { RunArgs } from '../pipeline/diffedit/types.ts';
import { type CheckName, checkValue } from '../pipeline/diffusion/argument-checks.ts';
import type { PredictionType } from '../schedulers/index.ts';
import { type AdapterOptions, addAdapterOptions } from './adapters.ts';
import { parseBytes } from './bytes.ts';
import { integer, parseBinding, parseSeed, parseSize, type Size } from './option-values.ts';

/** Where models come from. */
export interface HubOptions {
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly variant?: string;
}

/** What a checkpoint in one file does not say. */
export interface SingleFileOptionsTyped {
  readonly tokenizer?: string;
  readonly config?: string;
  readonly predictionType?: PredictionType;
  readonly ema?: boolean;
}

/** Where a model runs, and how the result is printed. */
export interface DeviceOptions {
  readonly dtype: 'float32' | 'float16';
  readonly device?: string;
  readonly maxBinding?: number;
  readonly trusted?: boolean;
  readonly tuning?: string;
  readonly json?: boolean;
}

/** Where the settings come from that no option gives. */
export interface PresetOptions {
  readonly preset: 'recommended' | 'diffusers';
}

/** How a diffusion model spends memory. */
export interface MemoryOptions {
  readonly streamWeights?: boolean;
  readonly hostMemory?: boolean;
  readonly enableVaeSlicing?: boolean;
  readonly enableVaeTiling?: boolean;
  /** Pixels; asks for tiling too. */
  readonly vaeTile?: number;
  readonly maxMemory?: number;
  readonly allowTiles?: boolean;
}

/** Options of every command that runs a diffusion model. */
export interface ModelOptions
  extends HubOptions,
    SingleFileOptionsTyped,
    DeviceOptions,
    AdapterOptions,
    MemoryOptions,
    PresetOptions {
  readonly model?: string;
  readonly seed?: number | undefined;
  readonly mendQuirks?: boolean;
  readonly enableModelCpuOffload?: boolean;
}

/** How, and how large, the model sees the picture. */
export interface SizeOptions {
  readonly size?: Size;
  readonly keepSize?: boolean;
  readonly fit: FitMode;
}

/** Whether the result is put back into the picture. */
export interface PasteBackOptions {
  /** Unless told: as `--fit` says. */
  readonly pasteBack?: boolean;
}

/** The names of arguments that the command line has an option for. */
export type OptionName = {
  [N in ArgumentName]: (typeof ARGUMENTS)[N] extends { readonly option: unknown } ? N : never;
}[ArgumentName] &
  keyof RunArgs;

type Typed<T> = T extends readonly [number, number] ? T : T extends readonly unknown[] ? never : T;

/** Those with a default, which commander fills in. */
type Always = {
  [N in OptionName]: (typeof ARGUMENTS)[N] extends { readonly default: number } ? N : never;
}[OptionName];

/** Values of these options under run's names, one prompt each. */
export type ArgumentOptions = { readonly [N in Exclude<OptionName, Always>]?: Typed<RunArgs[N]> } & {
  readonly [N in Always]: number;
};

/** Which model, where it runs, how it reports. */
export function addModelOptions(command: Command): Command {
  addPresetOption(addModelSource(addModelOption(command)));
  addDeviceOptions(command).addOption(argumentOption('seed'));
  return addMemoryOptions(addModelManner(command));
}

/** The same of a command whose pipeline takes no preset and mends no quirks. */
export function addPlainModelOptions(command: Command): Command {
  addDeviceOptions(addModelSource(addModelOption(command))).addOption(argumentOption('seed'));
  return addMemoryOptions(addOffloadOption(command));
}

function addModelOption(command: Command): Command {
  return command
    .optionsGroup('Model and device:')
    .option(
      '--model <dir, file or id>',
      'diffusers folder of Stable Diffusion 1.x or 2.x, .safetensors or .ckpt file, or Hub id (default: the embedded orchard model)',
    );
}

/** Where a model's files come from, and what changes its weights; beside `--model`. */
export function addModelSource(command: Command): Command {
  addHubOptions(command).option('--variant <name>', 'set of weights of a folder, such as fp16');
  return addAdapterOptions(addSingleFileOptions(command));
}

/** How a model works. */
export function addModelManner(command: Command): Command {
  return addOffloadOption(
    command.option('--mend-quirks', 'mend what diffusers does wrong instead of repeating it number for number'),
  );
}

function addOffloadOption(command: Command): Command {
  return command.option('--enable-model-cpu-offload', 'keep one network at a time on the device');
}

/**
 * How a diffusion model spends memory.
 * @param o.chosenTiles whether a budget may choose tiles, which change the numbers
 */
export function addMemoryOptions(command: Command, { chosenTiles = true }: { chosenTiles?: boolean } = {}): Command {
  command
    .option('--stream-weights', 'pass the weights of the UNet through two slots of device memory at every step')
    .option('--host-memory', 'keep weights that go to the device more than once in host memory')
    .option('--enable-vae-slicing', 'encode and decode one picture of a batch at a time');
  addTileOptions(command).addOption(
    new Option(
      '--max-memory <size>',
      'device memory that the command may take, such as 2GB or 1500MiB; saves where it must and says so',
    ).argParser(parseBytes),
  );
  if (!chosenTiles) return command;
  return command.option('--allow-tiles', 'let --max-memory choose VAE tiles, which change the numbers');
}

/** Tiles of the autoencoder, which change the numbers. */
export function addTileOptions(command: Command): Command {
  return command
    .option(
      '--enable-vae-tiling',
      'encode and decode pictures in tiles where they are larger than one, with other numbers',
    )
    .option('--vae-tile <pixels>', "side of those tiles, such as 512 (default: the model's own size)", integer(1));
}

/** Where the settings come from that no option gives. */
export function addPresetOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--preset <name>',
      `recommended: settings that no option gives are what ${RECOMMENDED_FILE} of the model's folder recommends; diffusers: they are the defaults named here`,
    )
      .choices(['recommended', 'diffusers'])
      .default('recommended'),
  );
}

/** What a checkpoint in one file does not say. */
export function addSingleFileOptions(command: Command): Command {
  return command
    .option(
      '--tokenizer <dir or id>',
      "of a single file: folder of CLIP's vocabulary, or Hub id (default: openai/clip-vit-large-patch14)",
    )
    .option(
      '--config <file, dir or id>',
      'of a single file: its training config (YAML), or a folder or Hub id of diffusers configs',
    )
    .addOption(
      new Option('--prediction-type <type>', 'of a single file: what its UNet predicts').choices([
        ...['epsilon', 'v_prediction', 'sample'],
      ]),
    )
    .option('--ema', "of a single file that holds both: take the UNet's moving average");
}

/** Branch and cache of models from the Hub. */
export function addHubOptions(command: Command): Command {
  return command
    .option('--revision <name>', 'branch, tag or commit of a Hub id')
    .option('--cache-dir <dir>', "where Hub models are kept (default: the Hub's own cache)");
}

/** Precision, adapter and form of the result. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(dtypeOption())
    .option('--device <name>', 'adapter whose name contains this text; see `pentimento devices`')
    .addOption(
      new Option(
        '--max-binding <size>',
        'most of a buffer that a kernel is given at once, such as 128MiB; no result depends on it (default: what the adapter allows)',
      ).argParser(parseBinding),
    )
    .option(
      '--trusted',
      'faster on some cards, for models and pictures you trust: kernels run without checks of their indices, so that a defect could reach foreign memory',
    )
    .option('--tuning <file>', "table by which kernels are chosen, or none (default: the adapter's own, if kept)")
    .option('--json', 'print the result as JSON on stdout');
}

/** Storage of numbers. */
export function dtypeOption(): Option {
  return new Option('--dtype <type>', 'storage of weights and activations')
    .choices(['float32', 'float16'])
    .default('float32');
}

/** How the picture is brought to a size before the model sees it. */
export function addSizeOptions(command: Command, { keepSize = true }: { keepSize?: boolean } = {}): Command {
  command
    .optionsGroup('Size:')
    .addOption(
      new Option(
        '--fit <how>',
        'nearest: whole, in its own proportions, at the nearest size; crop: the centre of it; pad: whole, with a rim; squash: stretched, as diffusers does',
      )
        .choices(['nearest', 'crop', 'pad', 'squash'])
        .default('nearest'),
    )
    .addOption(
      new Option(
        '--size <WxH>',
        "size that the model works at; its area, with --fit nearest (default: the model's own)",
      )
        .argParser(parseSize)
        .conflicts('keepSize'),
    );
  if (!keepSize) return command;
  return command.option(
    '--keep-size',
    "work at the picture's own size, cut down to multiples of the VAE's factor; filled up to them, with --fit pad",
  );
}

/** Where the result goes. */
export function addPasteBackOptions(command: Command): Command {
  return command
    .option(
      '--paste-back',
      'put the masked region, with a soft edge, into the picture at its own size (default unless --fit squash)',
    )
    .option('--no-paste-back', 'write what the model made, at the size that it works at');
}

/**
 * Adds the options of a group of the table of arguments, with their defaults and checks.
 * @param o.of only arguments of this method; all by default
 * @param o.aliases other names in front of their own
 */
export function addArguments(
  command: Command,
  group: OptionGroup,
  { of = 'run', aliases = {} }: { of?: Method; aliases?: Readonly<Record<string, string>> } = {},
): Command {
  command.optionsGroup(`${group}:`);
  for (const [name, row] of Object.entries<Argument>(ARGUMENTS)) {
    if (row.option?.[0] !== group || !row.in.split(' ').includes(of)) continue;
    const alias = aliases[name] ?? row.alias;
    command.addOption(optionOf(name, alias === undefined ? row : { ...row, alias }));
    const off = offSwitchOf(name, row);
    if (off) command.addOption(off);
  }
  return command;
}

/** Adds source and target prompt, which a command needs, and their negatives. */
export function addPrompts(command: Command): Command {
  addArguments(command, 'Prompts');
  const needed = ['sourcePrompt', 'targetPrompt'];
  for (const option of command.options) if (needed.includes(option.attributeName())) option.makeOptionMandatory();
  return command;
}

/** What a command takes that inverts a picture under one prompt: prompts, the inversion, steps, size, and the model. */
export function addInversionOptions(command: Command): Command {
  command.optionsGroup('Prompts:').requiredOption('--source, --prompt <text>', 'what the picture shows');
  addArguments(command, 'Inversion', { aliases: { invertNegativePrompt: '--negative-prompt' } });
  addArguments(command, 'Steps and guidance');
  addSizeOptions(command);
  return addModelOptions(command);
}

/** The option of one argument. */
export function argumentOption(name: OptionName): Option {
  return optionOf(name, ARGUMENTS[name]);
}

/** The option of a row of any table of arguments. */
export function optionOf(name: string, row: OptionRow): Option {
  const { option, alias, check, default: byDefault } = row;
  const [, value = '', help = ''] = option ?? [];
  if (row.switch) return switchOf(name, row.switch, help);
  const flag = kebabFlag(name);
  const flags = [alias, flag].filter(Boolean).join(', ');
  const made = new Option(`${flags} ${value}`.trim(), help);
  if (byDefault !== undefined && value !== '') made.default(byDefault);
  if (check === undefined || check === 'switch') return made;
  return made.argParser(check === 'seed' ? parseSeed : text => checkedValue(text, name, check));
}

/** A switch that stands for one value of an argument. */
function switchOf(name: string, [flag, value]: readonly [flag: string, value: string], help: string): Option {
  const made = new Option(flag, help).preset(value);
  made.attributeName = () => name;
  return made;
}

/** What takes a switch back that the model's settings set; undefined for what is none. */
function offSwitchOf(name: string, row: Argument): Option | undefined {
  const [, value] = row.option ?? [];
  if (value !== '') return undefined;
  const flag = (row.switch?.[0] ?? kebabFlag(name)).replace('--', '--no-');
  const made = new Option(flag, 'not so, where the model recommends it');
  made.attributeName = () => name;
  return row.switch ? made.preset(row.default) : made;
}

/** What an option is made of. */
type OptionRow = Pick<Argument, 'alias' | 'check' | 'default' | 'switch'> & {
  readonly option?: readonly [group: string, value: string, help: string];
};

/** An argument’s own option: `--num-inference-steps` for numInferenceSteps. */
export function kebabFlag(name: string): string {
  return `--${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`;
}

/** How messages call the option of an argument: by its short name where it has one. */
export function flagOf(name: string, row: Argument): string {
  return row.switch?.[0] ?? row.alias ?? kebabFlag(name);
}

/** A value as typed, checked as the table says. */
function checkedValue(text: string, name: string, check: CheckName): unknown {
  const number = (typed: string): number => (typed.trim() === '' ? Number.NaN : Number(typed));
  const value = check === 'interval' ? text.split(',').map(number) : check === 'inversion' ? text : number(text);
  try {
    checkValue('option', check, value, name);
    return value;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InvalidArgumentError(`Give ${error.expected}.`);
  }
}
