/** `pentimento edit`: mask, inversion and edit of one picture; edit-pictures.ts has many. */
import { Command } from 'commander';
import { cutPadding, type FittedImage } from '../io/fit.ts';
import type { RgbImage } from '../io/image.ts';
import { maskToImage, sideBySide } from '../io/mask.ts';
import { resize } from '../io/resize.ts';
import { readImage } from '../node/images.ts';
import { type PictureEdit, pictureEdit, shareOf } from '../pipeline/batch/picture-edit.ts';
import { argumentsIn } from '../pipeline/diffedit/arguments.ts';
import { settleRun } from '../pipeline/diffedit/run-request.ts';
import type { RunOutput } from '../pipeline/diffedit/types.ts';
import { type Outside, type Result, withPipeline } from './command.ts';
import { addEditOptions, type EditOptions } from './edit-options.ts';
import { editPictures, refuseOptionsOfMany } from './edit-pictures.ts';
import { checkInputsKept, inputsOf } from './inputs.ts';
import { madeBy, pictureHash, readLatents, type StoredLatents } from './latents.ts';
import { EMBEDDED_KNOWS, type Loaded } from './model.ts';
import { besides, checkOutput, encodeFor, type OutputFile, writeAll } from './output.ts';
import { isFolder, namesSeveral } from './picture-list.ts';
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
import { ALL_PHASES, givenOn, withPreset } from './preset.ts';

/** Where one picture goes unless told. */
const OUTPUT = 'edited.png';

/** The command with all its options. */
export function editCommand(outside: Outside): Command {
  const command = new Command('edit')
    .description('Edit pictures: find what differs between two prompts, and repaint only that.')
    .argument(
      '[pictures...]',
      `${PICTURE_FILE}; several of them, folders and globs such as "photos/**/*.jpg" go to a folder`,
    );
  addEditOptions(command).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  return command.action(async (names: string[], o: EditOptions) => {
    const [name] = names;
    if (name === undefined && o.jobs === undefined) {
      command.error("error: missing required argument 'pictures'", { code: 'commander.missingArgument' });
    }
    const one = o.jobs === undefined && names.length === 1 && !namesSeveral(name ?? '') && !isForMany(o.output);
    if (one) await edit(name ?? '', { ...o, output: o.output ?? OUTPUT }, command, outside);
    else await editPictures(names, o, command, outside);
  });
}

/** Whether the results go into a folder: it is there, or its name ends as only a folder's does. */
function isForMany(output: string | undefined): boolean {
  if (output === undefined) return false;
  return /[/\\]$/.test(output) || isFolder(output);
}

/** Options with the file that the picture goes to. */
type OneOptions = EditOptions & { readonly output: string };

async function edit(image: string, typed: OneOptions, command: Command, outside: Outside): Promise<void> {
  refuseOptionsOfMany(typed);
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
    const { options: o, report } = withPreset(typed, givenOn(command), phases, loaded.pipe.recommended, progress.note);
    const handling = { ...fitOptions(o), pasteBack: pastesBack(o) };
    const prepared = pictureEdit(picture, loaded.pipe, handling, mask, o.mask);
    const fitted = prepared.fitted as FittedImage; // the options always say how
    const stored = await latentsFor(fitted, o, loaded, progress.note);
    const note = sizeNote(fitted, prepared.pasted);
    if (note !== undefined) progress.note(note);
    const start = performance.now();
    const output = await loaded.pipe.run({
      ...argumentsIn('run', o),
      ...prepared.args,
      imageLatents: stored?.latents,
      inversionNoise: stored?.noise,
      seed,
      signal: outside.signal,
      onProgress: progress.report,
    });
    const files = render(output, picture, prepared, fitted, names);
    outside.signal.throwIfAborted();
    await writeAll(files);
    return {
      command: 'edit',
      image,
      files: names,
      ...sizesOf(fitted, prepared.pasted),
      ...(output.mask === undefined ? {} : { masked: shareOf(output.mask.mask) }),
      ...report,
      timingsMs: { ...output.timings, total: performance.now() - start },
    } satisfies Result;
  });
}

/** What `pentimento invert` wrote; undefined where it shall be inverted now. */
async function latentsFor(
  fitted: FittedImage,
  o: EditOptions,
  loaded: Loaded,
  note: (line: string) => void,
): Promise<StoredLatents | undefined> {
  if (o.latents === undefined) return undefined;
  const { numInferenceSteps, inpaintStrength } = o;
  const needed = {
    model: madeBy(loaded),
    fingerprint: loaded.fingerprint,
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
  return readLatents(o.latents, needed, expected, note);
}

/** The files that will be written, by their names in the result. */
function outputNames(o: OneOptions): Record<string, string> {
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
  picture: RgbImage,
  prepared: PictureEdit,
  fitted: FittedImage,
  names: Readonly<Record<string, string>>,
): OutputFile[] {
  const { images, mask } = prepared.results(output);
  const { args, pasted } = prepared;
  const { width, height } = fitted.working;
  const given = args.maskImage && resize(args.maskImage, width, height, 'box');
  const middle = output.mask ? maskToImage(output.mask.mask, fitted.factor) : given;
  const before = pasted ? picture : cutPadding(fitted.image, fitted);
  const beside = middle && (pasted ? maskOverPicture(middle, fitted) : cutPadding(middle, fitted));
  const sheet = sideBySide([before, ...(beside ? [beside] : []), ...images].map(shown));
  const pictures = [...images, ...(mask ? [mask] : []), sheet];
  const paths = Object.values(names);
  return pictures.map((made, i) => encodeFor(paths[i] ?? '', made));
}
