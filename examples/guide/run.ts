/**
 * All blocks of the guide, one after the other, on one device. With Node 22.18 or newer, after `npm run build`:
 * node examples/guide/run.ts [folder for the pictures] [steps] [maps for each mask]
 */
import { join } from 'node:path';
import process from 'node:process';
import { requestGpu, saveImage } from 'pentimento/node';
import { averageEmbeddings } from './average-embeddings.ts';
import { captionPicture } from './caption-picture.ts';
import { edit, showEdit } from './edit.ts';
import { editWithCaption } from './edit-with-caption.ts';
import { editWithEmbeddings } from './edit-with-embeddings.ts';
import { findMask, targetPrompt } from './find-mask.ts';
import { invert } from './invert.ts';
import { loadCaptioner } from './load-captioner.ts';
import { loadLanguageModel } from './load-language-model.ts';
import { loadPicture } from './load-picture.ts';
import { loadPipeline } from './load-pipeline.ts';
import { writePrompts } from './write-prompts.ts';

const [folder = '.', steps = '50', maps = '10'] = process.argv.slice(2);
const settings = { numInferenceSteps: Number(steps) };
const all = { ...settings, numMapsPerMask: Number(maps) };
const gpu = await requestGpu();
const pipeline = await loadPipeline(gpu);
const picture = await loadPicture(pipeline);

const mask = await findMask(pipeline, picture, all);
const latents = await invert(pipeline, picture, settings);
const edited = await edit(pipeline, mask, latents, settings);
await saveImage(join(folder, 'guide-prompts.png'), showEdit(pipeline, picture, mask, edited));

const languageModel = await loadLanguageModel(gpu);
const sentences = await writePrompts(languageModel);
languageModel.dispose();
const averages = await averageEmbeddings(pipeline, sentences);
const averaged = await editWithEmbeddings(pipeline, picture, averages, all);
await saveImage(join(folder, 'guide-embeddings.png'), averaged);

const captioner = await loadCaptioner(gpu);
const caption = await captionPicture(captioner, picture);
captioner.dispose();
const captioned = await editWithCaption(pipeline, picture, caption, { targetPrompt }, all);
await saveImage(join(folder, 'guide-caption.png'), captioned);
console.log(caption);

pipeline.dispose();
gpu.dispose();
