/** `pentimento guide`: everything from a picture and two concepts to the edited picture, with a report. */

import { join } from 'node:path';
import { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import type { Gpu } from '../gpu/device.ts';
import { cutPadding, fitSize } from '../io/fit.ts';
import { type RgbImage, sizeText } from '../io/image.ts';
import { maskToImage } from '../io/mask.ts';
import { readImage } from '../node/images.ts';
import { shareOf } from '../pipeline/batch/picture-edit.ts';
import { argumentsIn } from '../pipeline/diffedit/arguments.ts';
import { readRecommended } from '../pipeline/diffedit/read-recommended.ts';
import { PREFIX, promptRequest, SENTENCES } from '../pipeline/guide/captions-and-prompts.ts';
import { runGuide } from '../pipeline/guide/guide.ts';
import type { GuideOutput } from '../pipeline/guide/guide-arguments.ts';
import { checkGuideSettings } from '../pipeline/guide/guide-checks.ts';
import { type AdapterOptions, addAdapterOptions, describeLoras, openEmbeddings, openLoras } from './adapters.ts';
import { type Outside, print } from './command.ts';
import { openDevice, tuningReport } from './device.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { measured } from './measured.ts';
import { adapterName, EMBEDDED_KNOWS, type FoundModel, findModel, tilesOf } from './model.ts';
import { integer, parseSeed } from './option-values.ts';
import {
  type ArgumentOptions,
  addArguments,
  addDeviceOptions,
  addHubOptions,
  addMemoryOptions,
  addPasteBackOptions,
  addPresetOption,
  addSingleFileOptions,
  addSizeOptions,
  argumentOption,
  type DeviceOptions,
  type HubOptions,
  type MemoryOptions,
  type PasteBackOptions,
  type PresetOptions,
  type SingleFileOptionsTyped,
  type SizeOptions,
} from './options.ts';
import { checkOutput, encodeFor, writeAll } from './output.ts';
import {
  fitOptions,
  maskOverPicture,
  PICTURE_FILE,
  pastesBack,
  shown,
  sizeNote,
  sizesOf,
  warningsTo,
} from './pictures.ts';
import { ALL_PHASES, givenOn, settingsShown, withPreset } from './preset.ts';
import { createProgress, type Progress } from './progress.ts';
import { latentsToImage, renderReport } from './report.ts';

interface Options
  extends DeviceOptions,
    HubOptions,
    SingleFileOptionsTyped,
    AdapterOptions,
    MemoryOptions,
    SizeOptions,
    PasteBackOptions,
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
    .argument('<image>', PICTURE_FILE)
    .option('-o, --output <dir>', 'folder for report.html and the pictures', 'guide');
  addPasteBackOptions(command)
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
    .option('--no-offload', 'keep all models on the device instead of one network at a time');
  addMemoryOptions(command).addHelpText(
    'after',
    `\n--revision goes with --model, and so do --stream-weights, --host-memory and the options of the VAE.\n${EMBEDDED_KNOWS}`,
  );
  return command.action((image: string, o: Options) => guide(image, o, command, outside));
}

async function guide(image: string, typed: Options, command: Command, outside: Outside): Promise<void> {
  for (const concept of [typed.from, typed.to]) promptRequest(concept);
  const outputs = Object.values(FILES).map(file => join(typed.output, file));
  for (const file of outputs) checkOutput(file, ['.html', '.png']);
  checkInputsKept(outputs, inputsOf(image, typed));
  const picture = await readImage(image, { signal: outside.signal, onWarning: warningsTo(outside.stderr) });
  checkGuideSettings({ ...argumentsIn('run', typed), image: picture, pasteBack: undefined, onProgress: undefined });
  const progress = createProgress(outside.stderr);
  let gpu: Gpu | undefined;
  let close: FoundModel['close'];
  try {
    const { folders, names, ...opened } = await openFolders(typed, progress, outside.signal);
    close = opened.close;
    // What is wrong with the file the pipeline says, which reads it too.
    const recommended = await readRecommended(folders.diffusion, 'guide', () => undefined);
    const own = recommended && { ...recommended, settings: { ...recommended.settings, ...recommended.guide } };
    const { options: o, report } = withPreset(typed, givenOn(command), ALL_PHASES, own, progress.note);
    const [loras, embeddings] = [await openLoras(o, outside.signal), await openEmbeddings(o, outside.signal)];
    gpu = await openDevice(o, progress.note);
    const tuning = tuningReport(gpu);
    const start = performance.now();
    const result = await runGuide({
      ...argumentsIn('run', o),
      ...{ models: folders, gpu, image: picture, from: o.from, to: o.to },
      ...{ seed: o.seed, captionPrefix: o.prefix === false ? null : o.prefix, numPrompts: o.numPrompts },
      ...{ dtype: o.dtype, variant: o.variant, loras, embeddings, mendQuirks: o.mendQuirks, offload: o.offload },
      ...memoryArguments(o),
      size: model => {
        tilesOf(o, model.vaeScaleFactor); // refused in the command's own words
        const note = sizeNote(fitSize(picture, model, fitOptions(o)), pastesBack(o));
        if (note !== undefined) progress.note(note);
        return fitOptions(o).size ?? model.defaultSize;
      },
      ...{ fit: o.fit, pasteBack: pastesBack(o) ? { image: picture } : undefined },
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
    const told = { ...facts, ...(tuning ? { tuning: tuning.table } : {}), ...settingsShown(report) };
    const files = await write(image, picture, result, { ...result.timings, total }, told, o, outside.signal);
    const { caption, sourcePrompts, targetPrompts, peakBytes } = result;
    print(outside, o.json === true, {
      ...{ command: 'guide', image, files, caption, sourcePrompts, targetPrompts, masked: shareOf(result.mask.mask) },
      ...{ ...sizesOf(result.fitted, pastesBack(o)), ...measured(peakBytes, progress, { ...result.timings, total }) },
      ...{ ...facts, tuning, ...report },
    });
  } finally {
    progress.stop();
    gpu?.dispose();
    await close?.();
  }
}

/** How memory is spent, under runGuide's names. */
function memoryArguments({ maxMemory, vaeTile, ...o }: Options) {
  return {
    ...{ maxBytes: maxMemory, allowTiles: o.allowTiles },
    ...{ streamWeights: o.streamWeights, hostMemory: o.hostMemory },
    ...{ vaeSlicing: o.enableVaeSlicing, vaeTiling: vaeTile === undefined ? o.enableVaeTiling : { pixels: vaeTile } },
  };
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
  picture: RgbImage,
  result: GuideOutput,
  timings: Readonly<Record<string, number>>,
  facts: Readonly<Record<string, string | number>>,
  o: Options,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const { fitted } = result;
  const pasted = pastesBack(o);
  const [made] = Array.isArray(result.images) ? (result.images as RgbImage[]) : [];
  if (!made) throw new InputError({ op: 'guide', problem: 'the pipeline returned no picture' });
  const edited = pasted ? made : cutPadding(made, fitted);
  const drawn = maskToImage(result.mask.mask, fitted.factor);
  const mask = cutPadding(drawn, fitted);
  const noise = cutPadding(latentsToImage(result.latents, fitted.factor), fitted);
  const html = renderReport({
    ...{ from: o.from, to: o.to, caption: result.caption, timings },
    ...{ sourcePrompts: result.sourcePrompts, targetPrompts: result.targetPrompts },
    pictures: [
      ['Picture', shown(pasted ? picture : cutPadding(result.image, fitted))],
      ['Mask: white is what changes', shown(pasted ? maskOverPicture(drawn, fitted) : mask)],
      ['Inverted noise: three of its channels', noise],
      ['Edited', shown(edited)],
    ],
    facts: {
      picture: name,
      'working size': `${sizeText(fitted.working)} (--fit ${fitted.fit})`,
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
