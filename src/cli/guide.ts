/** `pentimento guide`: everything from a picture and two concepts to the edited picture, with a report. */
import { join } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { RgbImage } from '../io/image.ts';
import { maskToImage } from '../io/mask.ts';
import { readImage } from '../node/images.ts';
import { argumentsIn } from '../pipeline/diffedit/arguments.ts';
import { readRecommended } from '../pipeline/diffedit/read-recommended.ts';
import { PREFIX, promptRequest, SENTENCES } from '../pipeline/guide/captions-and-prompts.ts';
import { runGuide } from '../pipeline/guide/guide.ts';
import type { GuideOutput } from '../pipeline/guide/guide-arguments.ts';
import { checkGuideSettings } from '../pipeline/guide/guide-checks.ts';
import { type AdapterOptions, addAdapterOptions, describeLoras, openEmbeddings, openLoras } from './adapters.ts';
import { type Outside, print } from './command.ts';
import { openDevice } from './device.ts';
import { shareOf } from './edit.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { measured } from './measured.ts';
import { adapterName, EMBEDDED_KNOWS, type FoundModel, findModel } from './model.ts';
import {
  type ArgumentOptions,
  addArguments,
  addDeviceOptions,
  addHubOptions,
  addPresetOption,
  addSingleFileOptions,
  addSizeOptions,
  argumentOption,
  type DeviceOptions,
  type HubOptions,
  integer,
  type PresetOptions,
  parseSeed,
  type SingleFileOptionsTyped,
  type SizeOptions,
} from './options.ts';
import { checkOutput, encodeFor, writeAll } from './output.ts';
import { warningsTo, workingSize } from './pictures.ts';
import { ALL_PHASES, settingsShown, withPreset } from './preset.ts';
import { createProgress, type Progress } from './progress.ts';
import { latentsToImage, renderReport } from './report.ts';

interface Options
  extends DeviceOptions,
    HubOptions,
    SingleFileOptionsTyped,
    AdapterOptions,
    SizeOptions,
    PresetOptions,
    ArgumentOptions {
  readonly output: string;
  readonly from: string;
  readonly to: string;
  readonly prefix: string | false;
  readonly numPrompts: number;
  readonly model?: string;
  readonly t5?: string;
  readonly blip?: string;
  readonly mendQuirks?: boolean;
  /** false with --no-offload. */
  readonly offload: boolean;
}

const FILES = { report: 'report.html', image: 'edited.png', mask: 'mask.png', noise: 'noise.png' } as const;

/** The command with all its options. */
export function guideCommand(outside: Outside): Command {
  const command = new Command('guide')
    .description(
      'Caption a picture, write prompts for two concepts, average their embeddings, find the mask, invert and edit.',
    )
    .argument('<image>', 'PNG, JPEG, GIF or BMP (WebP and AVIF by sharp), or its address')
    .option('-o, --output <dir>', 'folder for report.html and the pictures', 'guide')
    .optionsGroup('Texts:')
    .requiredOption('--from <concept>', 'what the picture contains, such as bowl')
    .requiredOption('--to <concept>', 'what it shall contain instead, such as basket')
    .option('--num-prompts <n>', 'sentences to write for each concept', integer(1), SENTENCES)
    .option('--prefix <text>', 'what the caption begins with', PREFIX)
    .option('--no-prefix', 'let the captioner begin by itself');
  addArguments(command, 'Mask');
  command.optionsGroup('Inversion:').addOption(argumentOption('invertGuidanceScale'));
  addArguments(command, 'Steps and guidance');
  command.optionsGroup('Edit:').addOption(argumentOption('negativePrompt'));
  addSizeOptions(command);
  command
    .optionsGroup('Models and device:')
    .option(
      '--model <dir, file or id>',
      'diffusers folder of Stable Diffusion, .safetensors or .ckpt file, or Hub id (default: the embedded one)',
    )
    .option('--t5 <dir or id>', 'folder of Flan-T5, or Hub id (default: the embedded one)')
    .option('--blip <dir or id>', 'folder of a BLIP captioner, or Hub id (default: the embedded one)');
  addHubOptions(command).option('--variant <name>', 'set of weights of the diffusion model, such as fp16');
  addPresetOption(command);
  addSingleFileOptions(command);
  addAdapterOptions(command);
  addDeviceOptions(command)
    .option(
      '--seed <n>',
      'seeds the prompts, and each of the three phases afresh (default: a new one, printed by --json)',
      parseSeed,
    )
    .option('--mend-quirks', 'mend what diffusers does wrong instead of repeating it number for number')
    .option('--no-offload', 'keep all models on the device instead of one network at a time')
    .addHelpText('after', `\n--revision goes with --model.\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: Options) => guide(image, o, command, outside));
}

async function guide(image: string, typed: Options, command: Command, outside: Outside): Promise<void> {
  for (const concept of [typed.from, typed.to]) promptRequest(concept);
  const outputs = Object.values(FILES).map(file => join(typed.output, file));
  for (const file of outputs) checkOutput(file, ['.html', '.png']);
  checkInputsKept(outputs, inputsOf(image, typed));
  const picture = await readImage(image, { signal: outside.signal, onWarning: warningsTo(outside.stderr) });
  checkGuideSettings({ ...argumentsIn('run', typed), image: picture, onProgress: undefined });
  const progress = createProgress(outside.stderr);
  let gpu: Gpu | undefined;
  let close: FoundModel['close'];
  try {
    const { folders, names, ...opened } = await openFolders(typed, progress, outside.signal);
    close = opened.close;
    // What is wrong with the file the pipeline says, which reads it too.
    const recommended = await readRecommended(folders.diffusion, 'guide', () => undefined);
    const { options: o, report } = withPreset(typed, command, ALL_PHASES, recommended, progress.note);
    const [loras, embeddings] = [await openLoras(o, outside.signal), await openEmbeddings(o, outside.signal)];
    gpu = await openDevice(o);
    const start = performance.now();
    const result = await runGuide({
      ...argumentsIn('run', o),
      ...{ models: folders, gpu, image: picture, from: o.from, to: o.to },
      ...{ seed: o.seed, captionPrefix: o.prefix === false ? null : o.prefix, numPrompts: o.numPrompts },
      ...{ dtype: o.dtype, variant: o.variant, loras, embeddings, mendQuirks: o.mendQuirks, offload: o.offload },
      size: model => workingSize(picture, model, o),
      ...{ signal: outside.signal, onProgress: progress.report, onWarning: progress.note },
    });
    const total = performance.now() - start;
    progress.stop();
    const lora = describeLoras(o);
    const facts = {
      ...names,
      ...(lora.length > 0 ? { lora: lora.join(', ') } : {}),
      device: adapterName(gpu),
      dtype: o.dtype,
      seed: result.seed,
    };
    const shown = { ...facts, ...settingsShown(report) };
    const files = await write(image, result, { ...result.timings, total }, shown, o, outside.signal);
    const { caption, sourcePrompts, targetPrompts, peakBytes } = result;
    print(outside, o.json === true, {
      ...{ command: 'guide', image, files, caption, sourcePrompts, targetPrompts, masked: shareOf(result.mask.mask) },
      ...{ ...measured(peakBytes, progress, { ...result.timings, total }), ...facts, ...report },
    });
  } finally {
    progress.stop();
    gpu?.dispose();
    await close?.();
  }
}

async function openFolders(o: Options, progress: Progress, signal: AbortSignal) {
  const diffusion = await findModel('stable-diffusion', o.model, o, progress, signal);
  const hub = o.cacheDir === undefined ? {} : { cacheDir: o.cacheDir };
  const { close } = diffusion;
  try {
    const t5 = await findModel('t5', o.t5, hub, progress, signal);
    const blip = await findModel('blip', o.blip, hub, progress, signal);
    return {
      folders: { diffusion: diffusion.folder, t5: t5.folder, blip: blip.folder },
      names: { model: diffusion.model, t5: t5.model, blip: blip.model },
      close,
    };
  } catch (error) {
    await close?.();
    throw error;
  }
}

/** Writes pictures and report; returns their paths. */
async function write(
  name: string,
  result: GuideOutput,
  timings: Readonly<Record<string, number>>,
  facts: Readonly<Record<string, string | number>>,
  o: Options,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const [edited] = Array.isArray(result.images) ? (result.images as RgbImage[]) : [];
  if (!edited) throw new InputError({ op: 'guide', problem: 'the pipeline returned no picture' });
  const scale = edited.width / (result.latents.shape.at(-1) ?? 1);
  const [mask, noise] = [maskToImage(result.mask.mask, scale), latentsToImage(result.latents, scale)];
  const html = renderReport({
    ...{ from: o.from, to: o.to, caption: result.caption, timings },
    ...{ sourcePrompts: result.sourcePrompts, targetPrompts: result.targetPrompts },
    pictures: [
      ['Picture', result.image],
      ['Mask: white is what changes', mask],
      ['Inverted noise: three of its channels', noise],
      ['Edited', edited],
    ],
    facts: {
      picture: name,
      ...facts,
      'masked share': shareOf(result.mask.mask),
      'peak device memory': `${(result.peakBytes / 2 ** 20).toFixed(1)} MiB`,
    },
  });
  signal.throwIfAborted();
  const path = (file: keyof typeof FILES): string => join(o.output, FILES[file]);
  await writeAll([
    encodeFor(path('image'), edited),
    encodeFor(path('mask'), mask),
    encodeFor(path('noise'), noise),
    { path: path('report'), bytes: new TextEncoder().encode(html) },
  ]);
  return Object.fromEntries(Object.keys(FILES).map(key => [key, path(key as keyof typeof FILES)]));
}
