/** One picture on its way to a model and back: fitted, edited, cut or pasted back. */
import { InputError } from '../../core/errors.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { cutPadding, type FitModel, type FittedImage, fitImage, fitMask } from '../../io/fit.ts';
import { checkImage, type GreyImage, isGrey, type RgbImage, rgbToGrey } from '../../io/image.ts';
import { maskToImage } from '../../io/mask.ts';
import type { PasteBack, RunArgs, RunOutput } from '../diffedit/types.ts';
import type { PictureHandling } from './plain-edit.ts';

/** What runs edits: a DiffEditPipeline, one in a worker, or what stands for one. */
export interface Editor extends FitModel {
  /** As DiffEditPipeline.run. */
  run(args: RunArgs): Promise<RunOutput>;
}

/** Pictures that an edit made. */
export interface EditedPictures {
  /** As many as numImagesPerPrompt, at the picture's own size where they are pasted back. */
  readonly images: RgbImage[];
  /** The mask that was found, as the model saw the picture; absent where one was given. */
  readonly mask?: GreyImage;
}

/** The arguments of `run` that a picture gives. */
export interface PictureArgs {
  /** As the model sees it. */
  readonly image: RgbImage;
  /** The mask that was given, as the model sees it. */
  readonly maskImage?: GreyImage | undefined;
  /** Where the result is put back. */
  readonly pasteBack?: PasteBack | undefined;
}

/** A picture, how it is fitted, and what is done with the result. */
export interface PictureEdit {
  /** How it is fitted; undefined where it goes to the model as it is. */
  readonly fitted: FittedImage | undefined;
  /** Whether the result is put back into the picture. */
  readonly pasted: boolean;
  /** For `run`, beside prompts and settings. */
  readonly args: PictureArgs;
  /** @throws InputError where `run` was asked for arrays */
  results(output: RunOutput): EditedPictures;
}

/**
 * Fits a picture.
 * @param picture of any size
 * @param model that will edit it
 * @param handling how
 * @param mask what shall change, white, where it is known
 * @param maskPath name of the mask for messages
 * @throws InputError for what cannot be fitted, and for a mask of another size
 */
export function pictureEdit(
  picture: RgbImage,
  model: FitModel,
  { fit, size, pasteBack = fit !== undefined && fit !== 'squash' }: PictureHandling,
  mask?: RgbImage | GreyImage,
  maskPath?: string,
): PictureEdit {
  checkImage(picture, 'pictureEdit');
  const fitted = fit === undefined ? undefined : fitImage(picture, model, { fit, size });
  const seen = fitted?.image ?? picture;
  const maskImage = mask && (fitted ? fitMask(mask, fitted, maskPath) : isGrey(mask) ? mask : rgbToGrey(mask));
  const paste = fitted ? { image: picture, fit: fitted } : { image: picture };
  return {
    fitted,
    pasted: pasteBack,
    args: { image: seen, maskImage, pasteBack: pasteBack ? paste : undefined },
    results({ images, mask: found }) {
      if (!Array.isArray(images)) {
        throw new InputError({ op: 'edit', problem: 'the pipeline returned no pictures', path: 'outputType' });
      }
      const whole = <T extends RgbImage | GreyImage>(image: T): T => (fitted ? cutPadding(image, fitted) : image);
      const made = pasteBack ? images : images.map(whole);
      return { images: made, ...(found ? { mask: whole(maskToImage(found.mask, model.vaeScaleFactor)) } : {}) };
    },
  };
}

/** Share of the picture that a mask covers, 0 to 1. */
export function shareOf(mask: NdArray): number {
  return Number((mask.data.reduce((sum, v) => sum + v, 0) / mask.data.length).toFixed(4));
}
