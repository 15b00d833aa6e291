/** `pentimento edit`: mask, inversion and edit of one picture. */
import { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import type { NdArray } from '../core/ndarray.ts';
import { cutPadding, type FittedImage, fitImage, fitMask } from '../io/fit.ts';
import type { GreyImage, RgbImage } from '../io/image.ts';
import { maskToImage, sideBySide } from '../io/mask.ts';
import { resize } from '../io/resize.ts';
import { readImage } from '../node/images.ts';
import { argumentsIn } from '../pipeline/diffedit/arguments.ts';
import { settleRun } from '../pipeline/diffedit/run-request.ts';
import type { RunOutput } from '../pipeline/diffedit/types.ts';
import { type Outside, type Result, withPipeline } from './command.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { madeBy, pictureHash, readLatents, type StoredLatents } from './latents.ts';
import { EMBEDDED_KNOWS, type Loaded } from './model.ts';
import {
  type ArgumentOptions,
  addArguments,
  addModelOptions,
  addPasteBackOptions,
  addPrompts,
  addSizeOptions,
  type ModelOptions,
  type PasteBackOptions,
  type SizeOptions,
} from './options.ts';
import { besides, checkOutput, encodeFor, type OutputFile, writeAll } from './output.ts';
import { fitOptions, maskOverPicture, pastesBack, shown, sizeNote, sizesOf, warningsTo } from './pictures.ts';
import { ALL_PHASES, withPreset } from './preset.ts';

interface EditOptions extends ModelOptions, SizeOptions, PasteBackOptions, ArgumentOptions {
  readonly output: string;
  readonly mask?: string;
  /** A file; not the pipeline's argument of the same name. */
  readonly latents?: string;
}

interface Inputs {
  readonly picture: RgbImage;
  readonly fitted: FittedImage;
  readonly maskImage: GreyImage | undefined;
  readonly stored: StoredLatents | undefined;
}

/** The command with all its options. */
export function editCommand(outside: Outside): Command {
  const command = new Command('edit')
    .description('Edit a picture: find what differs between two prompts, and repaint only that.')
    .argument('<image>', 'PNG, JPEG, GIF or BMP (WebP and AVIF by sharp), or its address')
    .option('-o, --output <file>', 'PNG or JPEG to write; mask and side-by-side sheet go beside it', 'edited.png')
    .option('--mask <file>', 'use this mask instead of finding one; white is what changes')
    .option('--latents <file>', 'use what `pentimento invert` wrote instead of inverting');
  addPasteBackOptions(command);
  addPrompts(command);
  for (const group of ['Mask', 'Inversion', 'Steps and guidance', 'Edit'] as const) addArguments(command, group);
  addSizeOptions(command);
  addModelOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action((image: string, o: EditOptions) => edit(image, o, command, outside));
}

async function edit(image: string, typed: EditOptions, command: Command, outside: Outside): Promise<void> {
  const names = outputNames(typed);
  const outputs = [typed.output, ...Object.values(names)];
  for (const path of outputs) checkOutput(path, ['.png', '.jpg', '.jpeg']);
  checkInputsKept(outputs, inputsOf(image, typed));
  const { signal } = outside;
  const picture = await readImage(image, { signal, onWarning: warningsTo(outside.stderr) });
  const mask =
    typed.mask === undefined
      ? undefined
      : await readImage(typed.mask, { signal, onWarning: warningsTo(outside.stderr) });
  // The latents are read once it is known which model they must be of.
  const given = { maskImage: mask, imageLatents: typed.latents === undefined ? undefined : { data: [], shape: [] } };
  settleRun('edit', { ...argumentsIn('run', typed), ...given, pasteBack: undefined, image: picture });
  const phases = ALL_PHASES.filter(phase =>
    phase === 'generateMask' ? !mask : phase === 'edit' || !given.imageLatents,
  );
  await withPipeline(typed, outside, async (loaded, progress, seed) => {
    const { options: o, report } = withPreset(typed, command, phases, loaded.pipe.recommended, progress.note);
    const inputs = await prepare(picture, mask, o, loaded, progress.note);
    const { image: fitted, ...fit } = inputs.fitted;
    const note = sizeNote(fit, pastesBack(o));
    if (note !== undefined) progress.note(note);
    const start = performance.now();
    const output = await loaded.pipe.run({
      ...argumentsIn('run', o),
      image: fitted,
      maskImage: inputs.maskImage,
      imageLatents: inputs.stored?.latents,
      inversionNoise: inputs.stored?.noise,
      pasteBack: pastesBack(o) ? { image: picture, fit } : undefined,
      seed,
      signal: outside.signal,
      onProgress: progress.report,
    });
    const files = render(output, inputs, o, loaded, names);
    outside.signal.throwIfAborted();
    await writeAll(files);
    return {
      command: 'edit',
      image,
      files: names,
      ...sizesOf(fit, pastesBack(o)),
      ...(output.mask === undefined ? {} : { masked: shareOf(output.mask.mask) }),
      ...report,
      timingsMs: { ...output.timings, total: performance.now() - start },
    } satisfies Result;
  });
}

async function prepare(
  picture: RgbImage,
  mask: RgbImage | undefined,
  o: EditOptions,
  loaded: Loaded,
  note: (line: string) => void,
): Promise<Inputs> {
  const { pipe, fingerprint } = loaded;
  const { numInferenceSteps, inpaintStrength } = o;
  const fitted = fitImage(picture, pipe, fitOptions(o));
  const needed = {
    model: madeBy(loaded),
    fingerprint,
    numInferenceSteps,
    inpaintStrength,
    fit: o.fit,
    ...fitted.working,
    picture: pictureHash(fitted.image),
  };
  const expected = {
    prompt: o.sourcePrompt,
    negativePrompt: o.invertNegativePrompt,
    guidanceScale: o.invertGuidanceScale,
    embeddings: await loaded.embeddingsIn(o.sourcePrompt, o.invertNegativePrompt),
    tuning: loaded.tuning?.table ?? '',
  };
  return {
    picture,
    fitted,
    maskImage: mask === undefined ? undefined : fitMask(mask, fitted, o.mask),
    stored: o.latents === undefined ? undefined : await readLatents(o.latents, needed, expected, note),
  };
}

/** The files that will be written, by their names in the result. */
function outputNames(o: EditOptions): Record<string, string> {
  const [path, count] = [o.output, o.numImagesPerPrompt];
  const images = Array.from({ length: count }, (_, i) => [`image${i + 1}`, besides(path, `${i + 1}`)]);
  return {
    ...(count === 1 ? { image: path } : Object.fromEntries(images)),
    ...(o.mask === undefined ? { mask: besides(path, 'mask', '.png') } : {}),
    sheet: besides(path, 'sheet', '.png'),
  };
}

/** The pictures of the result, in the order of their names. */
function render(
  output: RunOutput,
  inputs: Inputs,
  o: EditOptions,
  { pipe }: Loaded,
  names: Readonly<Record<string, string>>,
): OutputFile[] {
  if (!Array.isArray(output.images)) throw new InputError({ op: 'edit', problem: 'the pipeline returned no pictures' });
  const { picture, fitted, maskImage } = inputs;
  const pasted = pastesBack(o);
  const images: RgbImage[] = pasted ? output.images : output.images.map(made => cutPadding(made, fitted));
  const found = output.mask === undefined ? undefined : maskToImage(output.mask.mask, pipe.vaeScaleFactor);
  const given = maskImage && resize(maskImage, fitted.working.width, fitted.working.height, 'box');
  const middle = found ?? given;
  const before = pasted ? picture : cutPadding(fitted.image, fitted);
  const beside = middle && (pasted ? maskOverPicture(middle, fitted) : cutPadding(middle, fitted));
  const sheet = sideBySide([before, ...(beside ? [beside] : []), ...images].map(shown));
  const pictures = [...images, ...(found ? [cutPadding(found, fitted)] : []), sheet];
  const paths = Object.values(names);
  return pictures.map((picture, i) => encodeFor(paths[i] ?? '', picture));
}

/** Share of the picture that the mask covers, 0 to 1. */
export function shareOf(mask: NdArray): number {
  return Number((mask.data.reduce((sum, v) => sum + v, 0) / mask.data.length).toFixed(4));
}
