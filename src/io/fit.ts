/**
 * Pictures of any shape: what of a photo the model sees, and at which size. A fit is plain numbers, worked out without pixels, so that
 * the way there (`fitImage`, `fitMask`) and the way back (`cutPadding`, `pasteBack` in paste-back.ts) are one and the same.
 */
import { InputError } from '../core/errors.ts';
import { checkMember, kindOf } from '../core/kinds.ts';
import { checkNames, namesOf } from '../core/known-names.ts';
import { checkImage, type GreyImage, isGrey, type PictureSize, type RgbImage, rgbToGrey, sizeText } from './image.ts';
import { resize } from './resize.ts';

/**
 * How a photo comes to a size that the model can work at:
 * - `nearest`: whole, in its own proportions, at the nearest sides that are multiples of the VAE's factor; the size gives the area;
 * - `crop`: the largest part around its centre that has the size's proportions;
 * - `pad`: whole, in its own proportions, in the middle of the size; the rim repeats the photo's outermost pixels;
 * - `squash`: whole, stretched to the size, as diffusers' image processor does.
 */
export type FitMode = 'nearest' | 'crop' | 'pad' | 'squash';

/** What a fit asks of a model; a DiffEditPipeline is one. */
export interface FitModel {
  /** Pixels of the pictures that it was trained on. */
  readonly defaultSize: PictureSize;
  /** Sides are multiples of this many pixels. */
  readonly vaeScaleFactor: number;
}

/** How a picture is fitted. */
export interface FitOptions {
  /** Default `nearest`. */
  readonly fit?: FitMode | undefined;
  /**
   * Pixels to work at, multiples of the VAE's factor; default the model's own. `nearest` takes its area. 'own': the picture's own
   * sides, cut down to multiples; `crop` cuts so many pixels off and `pad` adds what is missing, both without resampling.
   */
  readonly size?: PictureSize | 'own' | undefined;
}

/** A part of a picture, in whole pixels from its upper left corner. */
export interface PictureRegion extends PictureSize {
  /** Pixels to its left. */
  readonly left: number;
  /** Pixels above it. */
  readonly top: number;
}

/** Where the pixels of a photo lie in the picture that the model sees. */
export interface PictureFit {
  /** How it was fitted. */
  readonly fit: FitMode;
  /** Pixels of a latent's side in the working picture. */
  readonly factor: number;
  /** Sides of the photo. */
  readonly picture: PictureSize;
  /** Sides that the model works at. */
  readonly working: PictureSize;
  /** The part of the photo that the model sees. */
  readonly region: PictureRegion;
  /** Where in the working picture that part lies; around it is padding. */
  readonly content: PictureRegion;
}

/** A picture as the model sees it, and where its pixels come from. */
export interface FittedImage<T extends RgbImage | GreyImage = RgbImage> extends PictureFit {
  /** Of the size `working`. */
  readonly image: T;
}

const MODES: readonly FitMode[] = ['nearest', 'crop', 'pad', 'squash'];
const OPTIONS = namesOf<FitOptions>({ fit: 1, size: 1 });
const OP = 'fitImage';

/** Beyond this a working picture of the model's area is narrower than a quarter of what the model was trained on. */
const LONGEST = 16;

/** Proportions weigh so much more than area: a stretch is seen, a few more pixels are not. */
const STRETCH_WEIGHT = 2;

/**
 * Works out a fit without pixels.
 * @param picture sides of the photo
 * @throws InputError for an unknown mode, a size that the VAE cannot halve, or a picture too narrow for the mode
 */
export function fitSize(picture: PictureSize, model: FitModel, options: FitOptions = {}): PictureFit {
  checkNames(OP, options, OPTIONS);
  checkSides(picture, 'picture');
  checkMember(OP, model, 'vaeScaleFactor', 'number', 'a pipeline, or { defaultSize, vaeScaleFactor }');
  checkSides(model.defaultSize, 'defaultSize');
  const { fit = 'nearest', size = model.defaultSize } = options;
  if (!MODES.includes(fit)) {
    throw new InputError({ op: OP, problem: 'unknown fit', expected: MODES.join(', '), value: fit, path: 'fit' });
  }
  const { width, height } = picture;
  const factor = model.vaeScaleFactor;
  const whole = { left: 0, top: 0, width, height };
  const made = { fit, factor, picture: { width, height } };
  if (size === 'own') return { ...made, ...ownSize(picture, fit, factor) };
  checkSize(size, factor);
  const wanted = { width: size.width, height: size.height };
  if (fit === 'crop') return { ...made, working: wanted, region: cropped(picture, size), content: all(size) };
  if (fit === 'pad') return { ...made, working: wanted, region: whole, content: padded(picture, size, factor) };
  const working = fit === 'squash' ? wanted : nearest(picture, size, factor);
  return { ...made, working, region: whole, content: all(working) };
}

function checkSides(size: PictureSize | undefined, path: string): void {
  const { width, height } = Object(size) as Partial<PictureSize>;
  if ([width, height].every(isSide)) return;
  const sizes = { expected: '{ width, height } in whole pixels', received: `${width} x ${height}` };
  throw new InputError({ op: OP, problem: 'no sides of a picture', ...sizes, path });
}

function isSide(side: unknown): boolean {
  return Number.isInteger(side) && (side as number) > 0;
}

/**
 * Refuses what is no fit.
 * @throws InputError
 */
export function checkFit(op: string, fit: PictureFit): void {
  const { picture, working, region, content, factor } = Object(fit) as Partial<PictureFit>;
  const parts = [
    [region, picture],
    [content, working],
  ] as const;
  if (isSide(factor) && parts.every(([part, whole]) => part && whole && liesWithin(part, whole))) return;
  const expected = 'what fitImage or fitSize returns';
  throw new InputError({ op, problem: 'this is no fit', expected, received: kindOf(fit), path: 'fit' });
}

function liesWithin({ left, top, width, height }: PictureRegion, whole: PictureSize): boolean {
  const sides = [width, height, whole.width, whole.height].every(isSide);
  return sides && left >= 0 && top >= 0 && left + width <= whole.width && top + height <= whole.height;
}

function all({ width, height }: PictureSize): PictureRegion {
  return { left: 0, top: 0, width, height };
}

/** A part of so many pixels in the middle. */
function centred(outer: PictureSize, { width, height }: PictureSize): PictureRegion {
  return { left: Math.floor((outer.width - width) / 2), top: Math.floor((outer.height - height) / 2), width, height };
}

function checkSize(size: PictureSize, factor: number): void {
  checkSides(size, 'size');
  const sides = [size.width, size.height];
  if (sides.every(side => side % factor === 0)) return;
  const [width, height] = sides.map(side => Math.max(factor, Math.floor(side / factor) * factor));
  throw new InputError({
    op: 'size',
    problem: `sides must be multiples of ${factor}`,
    received: sizeText(size),
    fix: `Pass size: { width: ${width}, height: ${height} }.`,
  });
}

function ownSize(picture: PictureSize, fit: FitMode, factor: number) {
  const round = fit === 'pad' ? Math.ceil : Math.floor;
  const multiple = (side: number): number => round(side / factor) * factor;
  const working = { width: multiple(picture.width), height: multiple(picture.height) };
  if (Math.min(picture.width, picture.height) < factor) {
    throw new InputError({
      op: 'size',
      problem: `the picture is smaller than ${factor} pixels`,
      received: sizeText(picture),
      fix: "Leave size: 'own' out.",
    });
  }
  if (fit === 'pad') return { working, region: all(picture), content: centred(working, picture) };
  return { working, region: fit === 'crop' ? centred(picture, working) : all(picture), content: all(working) };
}

/** Of the sizes around sqrt(area) in the photo's proportions, the one with the least |log| of stretch and of area. */
function nearest(picture: PictureSize, { width, height }: PictureSize, factor: number): PictureSize {
  const ratio = picture.width / picture.height;
  if (Math.max(ratio, 1 / ratio) > LONGEST) {
    throw new InputError({
      op: OP,
      problem: 'the picture is too long and narrow to be worked at in its own proportions',
      expected: `sides of at most ${LONGEST} to 1`,
      received: sizeText(picture),
      path: 'fit',
      fix: "Cut a part out first, or pass fit: 'crop' or fit: 'squash'.",
    });
  }
  const area = width * height;
  const sides = (ideal: number): number[] =>
    [Math.floor(ideal / factor), Math.ceil(ideal / factor)].map(n => Math.max(1, n) * factor);
  const candidates = sides(Math.sqrt(area * ratio)).flatMap(w =>
    sides(Math.sqrt(area / ratio)).map(h => [w, h] as const),
  );
  const cost = ([w, h]: readonly [number, number]): number =>
    STRETCH_WEIGHT * Math.abs(Math.log(w / h / ratio)) + Math.abs(Math.log((w * h) / area));
  const [w, h] = candidates.reduce((best, next) => (cost(next) < cost(best) ? next : best));
  return { width: w, height: h };
}

/** The largest part around the centre that has the size's proportions, to a pixel. */
function cropped(picture: PictureSize, { width, height }: PictureSize): PictureRegion {
  const wide = picture.width * height > picture.height * width;
  const part = wide
    ? { width: Math.max(1, Math.round((picture.height * width) / height)), height: picture.height }
    : { width: picture.width, height: Math.max(1, Math.round((picture.width * height) / width)) };
  return centred(picture, part);
}

/** The whole photo within the size, to a pixel. */
function padded(picture: PictureSize, size: PictureSize, factor: number): PictureRegion {
  const scale = Math.min(size.width / picture.width, size.height / picture.height);
  const width = Math.max(1, Math.min(size.width, Math.round(picture.width * scale)));
  const height = Math.max(1, Math.min(size.height, Math.round(picture.height * scale)));
  if (Math.min(width, height) >= factor) return centred(size, { width, height });
  throw new InputError({
    op: OP,
    problem: 'the picture is so narrow that nearly all would be padding',
    expected: `at least ${factor} pixels of it`,
    received: `${sizeText({ width, height })} of ${sizeText(size)}, from ${sizeText(picture)}`,
    path: 'fit',
    fix: "Cut a part out first, or pass fit: 'crop' or fit: 'squash'.",
  });
}

/**
 * A photo as the model sees it, by Pillow's bicubic.
 * @param image RGB or grey, of any size
 * @param model a pipeline, or its two numbers
 * @returns the picture, and where its pixels come from: what `fitMask`, `cutPadding` and `pasteBack` take
 * @throws as {@link fitSize}; InputError for what is no picture
 */
export function fitImage<T extends RgbImage | GreyImage>(
  image: T,
  model: FitModel,
  options: FitOptions = {},
): FittedImage<T> {
  const fit = fitSize(checkImage(image, OP), model, options);
  const { region, content, working } = fit;
  const part = resizeTo(cut(image, region), content, 'bicubic');
  return { ...fit, image: onPaper(part, content, working) };
}

/**
 * A mask of a photo as latents see it: one pixel a latent, each the mean of what it covers. Padding takes the mask's outermost pixels.
 * @param mask of the photo's size, of the working picture's (with or without padding), or one pixel a latent
 * @param path name for messages
 * @throws InputError for any other size
 */
export function fitMask(mask: RgbImage | GreyImage, fit: PictureFit, path?: string): GreyImage {
  const grey = rgbToGrey(checkImage(mask, 'fitMask'));
  checkFit('fitMask', fit);
  const { picture, region, content, working, factor } = fit;
  const latents = { width: working.width / factor, height: working.height / factor };
  const has = (size: PictureSize): boolean => mask.width === size.width && mask.height === size.height;
  if (has(latents)) return grey;
  if (has(working)) return resizeTo(grey, latents, 'box');
  if (!has(picture) && !has(content)) {
    const sizes = [picture, working, content, latents].map(sizeText);
    throw new InputError({
      op: 'mask',
      problem: 'the mask has another size than the picture',
      expected: [...new Set(sizes)].join(' or '),
      received: sizeText(mask),
      ...(path === undefined ? {} : { path }),
      fix: 'Make the mask as large as the picture: white is what changes.',
    });
  }
  const part = has(picture) ? cut(grey, region) : grey;
  if (content.width === working.width && content.height === working.height) return resizeTo(part, latents, 'box');
  return resizeTo(onPaper(resizeTo(part, content, 'box'), content, working), latents, 'box');
}

/**
 * What the model made, without the padding around it.
 * @param image of the working size
 * @throws InputError for another size
 */
export function cutPadding<T extends RgbImage | GreyImage>(image: T, fit: PictureFit): T {
  checkImage(image, 'cutPadding');
  checkFit('cutPadding', fit);
  const { working, content } = fit;
  if (image.width === working.width && image.height === working.height) return cut(image, content);
  const sizes = { expected: sizeText(working), received: sizeText(image) };
  throw new InputError({ op: 'cutPadding', problem: 'not the size that the model worked at', ...sizes });
}

/** A part of a picture; the picture itself where that is all of it. */
export function cut<T extends RgbImage | GreyImage>(image: T, { left, top, width, height }: PictureRegion): T {
  if (width === image.width && height === image.height) return image;
  const channels = isGrey(image) ? 1 : 3;
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { ...image, width, height, data };
}

function resizeTo<T extends RgbImage | GreyImage>(image: T, size: PictureSize, resample: 'bicubic' | 'box'): T {
  const same = image.width === size.width && image.height === size.height;
  return same ? image : resize(image, size.width, size.height, resample);
}

/**
 * A picture within a larger one whose other pixels repeat the nearest of its own. A mirrored rim would show the prompt's object twice, and
 * the mask would find both.
 */
function onPaper<T extends RgbImage | GreyImage>(image: T, at: PictureRegion, paper: PictureSize): T {
  if (at.width === paper.width && at.height === paper.height) return image;
  const channels = isGrey(image) ? 1 : 3;
  const data = new Uint8Array(paper.width * paper.height * channels);
  const within = (i: number, start: number, size: number): number => Math.min(size - 1, Math.max(0, i - start));
  let to = 0;
  for (let y = 0; y < paper.height; y++) {
    const row = within(y, at.top, at.height) * at.width;
    for (let x = 0; x < paper.width; x++) {
      const from = (row + within(x, at.left, at.width)) * channels;
      for (let c = 0; c < channels; c++) data[to++] = image.data[from + c] ?? 0;
    }
  }
  return { ...image, ...paper, data };
}
