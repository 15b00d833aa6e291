/** The phases of a request: what they share is encoded once, then each phase that it has runs. */
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import type { RgbImage } from '../../io/image.ts';
import { preprocessMask } from '../../io/mask.ts';
import { postprocessImage } from '../../io/postprocess.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { encodePictures, isDrawn } from '../diffusion/image-latents.ts';
import type { LatentDiffusion } from '../diffusion/latent-diffusion.ts';
import type { EncodedPictures } from '../diffusion/latent-draws.ts';
import { toOutput } from '../diffusion/output.ts';
import { rowsOf } from '../diffusion/rows.ts';
import type { StepEvent } from '../diffusion/sampling-loop.ts';
import { asArray, type DeviceCall } from '../runtime/device-call.ts';
import { withoutSteps } from '../runtime/drain.ts';
import { type EditInputs, editPhase, maskOrder } from './edit-phase.ts';
import { readHistory } from './inversion-history.ts';
import { invertPhase } from './invert-phase.ts';
import { maskPhase } from './mask-phase.ts';
import { pasteAll } from './output.ts';
import type { EditRequest, Request } from './request.ts';
import { shownShare } from './soft-mask.ts';
import type { InversionOutput, MaskOutput } from './types.ts';

/** What came of a request; absent where its phase is, or was not asked for it. */
export interface PhaseResults {
  readonly mask: MaskOutput | undefined;
  readonly inversion: InversionOutput | undefined;
  readonly images: RgbImage[] | NdArray | undefined;
  /** The first picture as the model saw it, and encoded and decoded by the VAE alone. */
  readonly roundTrip: { readonly picture: RgbImage; readonly decoded: RgbImage } | undefined;
}

/**
 * Performs a request; the inverted latents of a run stay on the device.
 * @throws DeviceError; the signal's reason
 */
export async function* runPhases(
  call: DeviceCall,
  model: LatentDiffusion,
  request: Request,
): AsyncGenerator<StepEvent, PhaseResults> {
  const { mask: m, invert: v, edit: e } = request;
  const wanted = [e?.prompt, m?.source, m?.target, v?.prompt];
  const [embeddings, source, target, inverted] = await model.prompts.encodeAll(call, wanted);
  const { kept } = call;
  const pictures = request.pictures && (yield* encodedOnce(call, model, request.pictures));
  const mask =
    m && source && target && pictures
      ? yield* kept.once('mask', () => maskPhase(call, model, m, { source, target, pictures }))
      : undefined;
  const history =
    v && inverted && pictures ? yield* invertPhase(call, model, v, { embeddings: inverted, pictures }) : undefined;
  const read = history && v?.returned ? await readHistory(history) : undefined;
  const inversion = read && { ...read, ...(await decoded(call, model, read.latents, v?.decoded)) };
  const mode = e?.softExponent === undefined ? 'binary' : 'soft';
  const made = e && {
    mask: e.mask ?? (mask && preprocessMask(mask.mask, e.batch, mode)),
    latents: e.latents ?? history,
  };
  const images =
    e && embeddings && made?.mask && made.latents
      ? yield* editAndDecode(call, model, e, { embeddings, mask: made.mask, latents: made.latents })
      : undefined;
  const clean = request.roundTrip ? history?.clean : undefined;
  const roundTrip = clean && request.pictures && (await throughVae(call, model, request.pictures, clean));
  call.endPhase();
  return { mask, inversion, images, roundTrip };
}

/** The pictures as the VAE encodes them, which outlives a lost device. */
async function* encodedOnce(
  call: DeviceCall,
  { autoencoder }: LatentDiffusion,
  pictures: NdArray,
): AsyncGenerator<never, EncodedPictures> {
  const { values } = yield* call.kept.tensors('pictures', call, () =>
    withoutSteps(async () => ({ values: (await encodePictures(call, pictures, autoencoder)).values })),
  );
  return { values: values as DeviceTensor, drawn: isDrawn(pictures, autoencoder) };
}

async function throughVae(
  call: DeviceCall,
  model: LatentDiffusion,
  pictures: NdArray,
  clean: DeviceTensor,
): Promise<{ readonly picture: RgbImage; readonly decoded: RgbImage }> {
  const [decoded] = (await toOutput(call, model, rowsOf(asArray(await clean.read(), clean.shape), 0, 1), 'pil')) as [
    RgbImage,
  ];
  // Latents that were given are what the VAE makes of them.
  const isLatents = dim(pictures.shape, 1) !== 3;
  const [picture] = isLatents ? [decoded] : (postprocessImage(rowsOf(pictures, 0, 1), 'pil') as [RgbImage]);
  return { picture, decoded };
}

/** Pictures of the latents of every step, in their order. */
async function decoded(
  call: DeviceCall,
  model: LatentDiffusion,
  { data, shape }: NdArray,
  as: 'pil' | 'np' | undefined,
): Promise<Pick<InversionOutput, 'images'>> {
  if (!as) return {};
  const flat = { data, shape: [dim(shape, 0) * dim(shape, 1), ...shape.slice(2)] };
  return { images: await toOutput(call, model, flat, as) };
}

async function* editAndDecode(
  call: DeviceCall,
  model: LatentDiffusion,
  request: EditRequest,
  inputs: EditInputs,
): AsyncGenerator<StepEvent, RgbImage[] | NdArray> {
  const { output, pasteBack, mendQuirks, softExponent } = request;
  const latents = yield* call.kept.once('edit', () => editPhase(call, model, request, inputs));
  const images = await toOutput(call, model, latents, output);
  if (!pasteBack || !Array.isArray(images)) return images;
  const shown = softExponent === undefined ? inputs.mask : shownShare(inputs.mask, softExponent);
  return pasteAll(images, shown, pasteBack, {
    factor: model.autoencoder.factor,
    order: maskOrder(mendQuirks),
  });
}
