/** The picture to edit, however it comes: dropped, pasted, chosen, or a sample. */
import {
  type FitMode,
  type FitModel,
  type FittedImage,
  type FolderSource,
  fitImage,
  fitSize,
  loadImage,
  type PictureFit,
  type PictureSize,
  type RgbImage,
} from 'pentimento';
import { droppedFolder } from 'pentimento/page';
import { box, element, input, make, select } from '../../shared/elements.ts';
import { reasonOf } from '../../shared/progress.ts';
import type { Subject } from './edit.ts';
import { SAMPLES } from './models.ts';
import { cutTo } from './pixels.ts';
import type { Crop } from './settings-file.ts';

/** Samples beside the embedded model, and what they show. */
const NAMES: Readonly<Record<string, string>> = {
  'apples-bowl.png': 'a bowl of apples',
  'pears-basket.png': 'a basket of pears',
  'fruits-bowl.png': 'a bowl of fruits',
  'lemons-basket.png': 'a basket of lemons',
  'oranges-plate.png': 'a plate of oranges',
  'peaches-bowl.png': 'a bowl of peaches',
  'strawberries-bowl.png': 'a bowl of strawberries',
  'tomatoes-basket.png': 'a basket of tomatoes',
  'market.jpg': 'a bowl of fruits',
};

/** Who is told of what comes. */
export interface Receivers {
  readonly photo: (photo: RgbImage, shows: string | undefined) => void;
  readonly settings: (text: string) => Promise<void>;
  /** A model's folder. */
  readonly folder: (folder: FolderSource) => void;
  readonly failed: (error: unknown) => void;
}

/** Listens for pictures and files of settings. */
export function receiveFiles(receivers: Receivers): void {
  const openOne = (file: File): Promise<void> => {
    const failed = (error: unknown): void => receivers.failed(new Error(`${file.name}: ${reasonOf(error)}`));
    if (isSettings(file)) return file.text().then(receivers.settings).catch(failed);
    return newest(loadImage(file), photo => receivers.photo(photo, undefined), failed);
  };
  const open = async (all: Iterable<File> | undefined): Promise<void> => {
    const files = [...(all ?? [])];
    const taken = [files.find(file => !isSettings(file)), files.find(isSettings)].filter(file => file !== undefined);
    await Promise.all(taken.map(openOne));
    if (taken.length === files.length) return;
    const names = taken.map(({ name }) => name).join(' and ');
    receivers.failed(
      new Error(
        `Of ${files.length} files only ${names} ${taken.length > 1 ? 'are' : 'is'} taken: one picture, one file of settings.`,
      ),
    );
  };
  input('file').addEventListener('change', () => {
    void open(input('file').files ?? undefined);
    input('file').value = ''; // the same one may be chosen again
  });
  document.addEventListener('paste', event => void open(event.clipboardData?.files));
  document.addEventListener('dragover', event => {
    event.preventDefault();
    box('stage').classList.add('over');
  });
  document.addEventListener('dragleave', () => box('stage').classList.remove('over'));
  document.addEventListener('drop', event => {
    event.preventDefault();
    box('stage').classList.remove('over');
    const { dataTransfer } = event;
    const isFolder = dataTransfer?.items[0]?.webkitGetAsEntry()?.isDirectory === true;
    if (isFolder) droppedFolder(dataTransfer).then(receivers.folder, receivers.failed);
    else if (dataTransfer?.files[0]) void open(dataTransfer.files);
    else receivers.failed(new Error('That was no file. Drop a picture, a file of settings, or the folder of a model.'));
  });
}

/** The list of samples. */
export function offerSamples(receivers: Receivers): void {
  const list = element('sample', HTMLSelectElement);
  list.append(
    make('option', { value: '' }, 'none'),
    ...Object.entries(NAMES).map(([value, text]) =>
      make('option', { value }, value === 'market.jpg' ? 'a market' : text),
    ),
  );
  list.addEventListener('change', () => {
    if (list.value) openSample(list.value, receivers);
  });
}

/** Opens a sample. */
export function openSample(name: string, receivers: Receivers): void {
  select('sample').value = name;
  const loading = loadImage(new URL(name, SAMPLES).href);
  void newest(loading, photo => receivers.photo(photo, NAMES[name]), receivers.failed);
}

/** Pictures that were asked for. */
let asked = 0;

/** Takes a picture unless another one was asked for since: a small one is there before a large one that was asked for first. */
async function newest(
  loading: Promise<RgbImage>,
  take: (photo: RgbImage) => void,
  failed: (error: unknown) => void,
): Promise<void> {
  const own = ++asked;
  try {
    const photo = await loading;
    if (own === asked) take(photo);
  } catch (error) {
    if (own === asked) failed(error);
  }
}

function isSettings({ type, name }: File): boolean {
  return type === 'application/json' || name.endsWith('.json');
}

/** Where a photo's frame lies. */
export function frameOf(photo: PictureSize, model: FitModel, crop: Crop): PictureFit {
  const found = fitSize(photo, model, { fit: 'crop' });
  const width = Math.max(1, Math.round(crop.size * found.region.width));
  const height = Math.max(1, Math.round(crop.size * found.region.height));
  const left = Math.round(crop.x * (photo.width - width));
  const top = Math.round(crop.y * (photo.height - height));
  return { ...found, region: { left, top, width, height } };
}

/** A photo as the model sees it; a cropped one by its frame. */
export function subjectOf(photo: RgbImage, model: FitModel, fit: FitMode, crop: Crop): Subject {
  if (fit !== 'crop') return { photo, fitted: fitImage(photo, model, { fit }) };
  const frame = frameOf(photo, model, crop);
  const fitted: FittedImage = { ...frame, image: cutTo(photo, frame.region, frame.working) };
  return { photo, fitted };
}

/** Whether two show the same part of the same picture at the same size. */
export function sameFrame(one: Subject, other: Subject): boolean {
  const frame = ({ fitted: { region, content, working } }: Subject): string =>
    JSON.stringify([region, content, working]);
  return one.photo === other.photo && frame(one) === frame(other);
}
