/** Bringing pictures and masks to the size that the model works at. */
import { InputError } from '../core/errors.ts';
import { type GreyImage, type RgbImage, rgbToGrey } from '../io/image.ts';
import { resize } from '../io/resize.ts';
import type { Size, SizeOptions } from './options.ts';

/** Where a command says what is wrong with a picture that it reads all the same. */
export function warningsTo(stderr: NodeJS.WriteStream): (message: string) => void {
  return message => {
    stderr.write(`warning: ${message}\n`);
  };
}

/** What decides the working size. */
export interface ModelSize {
  readonly defaultSize: Size;
  readonly vaeScaleFactor: number;
}

/**
 * The size that the model works at: its own, `--size`, or with `--keep-size` the picture's, cut down to multiples.
 * @throws InputError when the size does not fit the VAE's factor
 */
export function workingSize(picture: Size, model: ModelSize, o: SizeOptions): Size {
  const factor = model.vaeScaleFactor;
  const down = (side: number): number => side - (side % factor);
  if (o.keepSize) {
    const size = { width: down(picture.width), height: down(picture.height) };
    if (size.width > 0 && size.height > 0) return size;
    throw new InputError({
      op: 'size',
      problem: `the picture is smaller than ${factor} pixels`,
      received: text(picture),
      fix: 'Leave --keep-size out.',
    });
  }
  const size = o.size ?? model.defaultSize;
  if (size.width % factor === 0 && size.height % factor === 0) return size;
  const near = { width: Math.max(factor, down(size.width)), height: Math.max(factor, down(size.height)) };
  throw new InputError({
    op: 'size',
    problem: `sides must be multiples of ${factor}`,
    received: text(size),
    fix: `Pass --size ${text(near)}.`,
  });
}

/** The picture at the working size, by Pillow's bicubic as the guide's `resize` does. */
export function fitPicture(picture: RgbImage, size: Size): RgbImage {
  return picture.width === size.width && picture.height === size.height
    ? picture
    : resize(picture, size.width, size.height, 'bicubic');
}

/**
 * A mask file as latents see it: one pixel a latent.
 * @param mask of the latents' size, the working size or the picture's own size
 * @throws InputError for any other size
 */
export function fitMask(mask: RgbImage, picture: Size, working: Size, factor: number, path: string): GreyImage {
  const latent = { width: working.width / factor, height: working.height / factor };
  const same = (size: Size): boolean => mask.width === size.width && mask.height === size.height;
  if (same(latent)) return rgbToGrey(mask);
  if (same(working) || same(picture)) return resize(rgbToGrey(mask), latent.width, latent.height, 'box');
  throw new InputError({
    op: 'mask',
    problem: 'the mask has another size than the picture',
    expected: [...new Set([picture, working, latent].map(text))].join(' or '),
    received: text(mask),
    path,
    fix: 'Make the mask as large as the picture: white is what changes.',
  });
}

/** 768x512 */
function text(size: Size): string {
  return `${size.width}x${size.height}`;
}
