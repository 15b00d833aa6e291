/** `pentimento inpaint`: a masked part of a picture, made anew as words say. */
import { Command } from 'commander';
import { InputError } from '../core/errors.ts';
import { cutPadding, type FittedImage, fitImage, fitMask } from '../io/fit.ts';
import { type GreyImage, type RgbImage, rgbToGrey } from '../io/image.ts';
import { resize } from '../io/resize.ts';
import { readImage } from '../node/images.ts';
import { pasteAll } from '../pipeline/diffedit/output.ts';
import { InpaintPipeline } from '../pipeline/image-generation/inpaint.ts';
import type { InpaintArgs } from '../pipeline/image-generation/types.ts';
import type { Outside } from './command.ts';
import { checkFiles, makePictures, type Prepared } from './generation.ts';
import { addGenerationOptions, argumentsOf, type GenerationOptionsTyped } from './generation-options.ts';
import { EMBEDDED_KNOWS } from './model.ts';
import { addPasteBackOptions, addSizeOptions, type PasteBackOptions, type SizeOptions } from './options.ts';
import { fitOptions, maskOverPicture, PICTURE_FILE, pastesBack, sizeNote, sizesOf, warningsTo } from './pictures.ts';

type Options = GenerationOptionsTyped &
  SizeOptions &
  PasteBackOptions & { readonly mask: string; readonly paddingMaskCrop?: number };

/** The command with all its options. */
export function inpaintCommand(outside: Outside): Command {
  const command = new Command('inpaint')
    .description('Make a masked part of a picture anew, as words say.')
    .argument('<image>', PICTURE_FILE)
    .argument('<prompts...>', 'what the picture shall show; several make several pictures')
    .requiredOption('--mask <file>', 'what is made anew, white; `pentimento mask` finds it');
  addPasteBackOptions(command);
  addGenerationOptions(command, 'inpaint', 'inpainted.png', addSizeOptions).addHelpText('after', `\n${EMBEDDED_KNOWS}`);
  for (const option of command.options)
    if (option.attributeName() === 'paddingMaskCrop') option.conflicts(['fit', 'keepSize', 'pasteBack']);
  return command.action((image: string, prompts: string[], o: Options) =>
    make(image, prompts, o, { command, outside }),
  );
}

async function make(
  image: string,
  prompts: readonly string[],
  o: Options,
  { command, outside }: { readonly command: Command; readonly outside: Outside },
): Promise<void> {
  checkFiles(o, prompts, { image, mask: o.mask });
  const how = { signal: outside.signal, onWarning: warningsTo(outside.stderr) };
  const [picture, mask] = [await readImage(image, how), await readImage(o.mask, how)];
  const args = argumentsOf('inpaint', o, prompts);
  await makePictures(outside, o, {
    ...{ typed: command, prompts, image, kind: InpaintPipeline },
    prepare: (pipe, note) => {
      const prepared =
        o.paddingMaskCrop === undefined ? inFull(picture, mask, o, pipe, note) : cropped(picture, mask, o);
      return { ...prepared, args: { ...args, ...prepared.args }, report: { image, mask: o.mask, ...prepared.report } };
    },
  });
}

/** What is prepared, without the options' arguments. */
type Own = Omit<Prepared<InpaintArgs>, 'args'> & { readonly args: Partial<InpaintArgs> };

/** The whole picture at the size that the model works at. */
function inFull(
  picture: RgbImage,
  mask: RgbImage,
  o: Options,
  pipe: InpaintPipeline,
  note: (line: string) => void,
): Own {
  const fitted = fitImage(picture, pipe, fitOptions(o));
  const pasted = pastesBack(o);
  const ofLatents = fitMask(mask, fitted, o.mask);
  const maskImage = maskSeen(mask, ofLatents, fitted, pipe, o);
  if (isWithoutWhite(maskImage)) throw noMask(o.mask);
  const sizes = sizeNote(fitted, pasted);
  if (sizes !== undefined) note(sizes);
  const beside = pasted ? maskOverPicture(maskImage, fitted) : cutPadding(maskImage, fitted);
  const { width, height } = fitted.working;
  return {
    args: { image: fitted.image, maskImage, width, height },
    before: [pasted ? picture : cutPadding(fitted.image, fitted), beside],
    report: sizesOf(fitted, pasted),
    finish(images) {
      if (!pasted) return images.map(made => cutPadding(made, fitted));
      const [h, w] = [ofLatents.height, ofLatents.width];
      // White as the pipeline takes it: from one half on.
      const hard = { data: Float32Array.from(ofLatents.data, value => (value >= 128 ? 1 : 0)), shape: [1, 1, h, w] };
      const into = { image: picture, fit: fitted };
      return pasteAll(images, hard, into, { factor: pipe.vaeScaleFactor, order: 'tiled' });
    },
  };
}

/** The mask at the working size: a photo's as finely as the photo is seen, smaller ones as they are. */
function maskSeen(
  mask: RgbImage,
  ofLatents: GreyImage,
  { picture, working }: FittedImage,
  pipe: InpaintPipeline,
  o: Options,
): GreyImage {
  const grey = rgbToGrey(mask);
  const isOf = ({ width, height }: { readonly width: number; readonly height: number }): boolean =>
    grey.width === width && grey.height === height;
  if (isOf(working)) return grey;
  if (isOf(picture) && o.fit !== 'pad') return fitImage(grey, pipe, fitOptions(o)).image;
  return resize(ofLatents, working.width, working.height, 'box');
}

/** The masked part alone, which the pipeline cuts out and puts back. */
function cropped(picture: RgbImage, mask: RgbImage, o: Options): Own {
  const { width, height } = picture;
  const maskImage = rgbToGrey(mask);
  if (isWithoutWhite(maskImage)) throw noMask(o.mask);
  return {
    args: { image: picture, maskImage, ...o.size },
    before: [picture, maskImage],
    report: { ...(o.size ? { workingSize: o.size } : {}), outputSize: { width, height } },
    finish: images => images,
  };
}

/** White as the pipeline takes it: from one half on. */
function isWithoutWhite({ data }: GreyImage): boolean {
  return data.every(value => value < 128);
}

function noMask(path: string): InputError {
  const [problem, fix] = ['nothing of the mask is white', 'White, from one half on, is what is made anew.'];
  return new InputError({ op: 'inpaint', problem, path, fix });
}
