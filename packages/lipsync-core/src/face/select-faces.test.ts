import { describe, expect, it } from 'vitest';
import { listFaceChoices, selectTracklets, type Tracklet } from './select-faces.ts';

function tracklet(identity: number, firstFrame: number, lastFrame: number, prominencePerFrame: number): Tracklet {
  const observationCount = lastFrame - firstFrame + 1;
  const prominence = observationCount * prominencePerFrame;
  const place = { x: identity * 100, y: 50, height: 80 };
  return { identity, firstFrame, lastFrame, observationCount, prominence, motion: 0.06, place };
}

describe('selectTracklets', () => {
  it('The most prominent face over the whole shot wins against one that is larger for a moment.', () => {
    const selected = selectTracklets([tracklet(1, 0, 99, 0.4), tracklet(2, 30, 40, 0.9)], 100);
    expect(selected.map(({ identity }) => identity)).toEqual([1]);
  });

  it('Another face is selected for the time after the most prominent one has left.', () => {
    const selected = selectTracklets([tracklet(3, 60, 99, 0.2), tracklet(1, 0, 50, 0.4)], 100);
    expect(selected.map(({ identity }) => identity)).toEqual([1, 3]);
  });

  it('A face that is observed in fewer than 3 frames is ignored unless the shot is as short.', () => {
    expect(selectTracklets([tracklet(1, 4, 5, 0.9)], 100)).toEqual([]);
    expect(selectTracklets([tracklet(1, 0, 0, 0.9)], 1)).toHaveLength(1);
  });
});

describe('A face that never moves', () => {
  const poster: Tracklet = { ...tracklet(1, 0, 99, 0.6), motion: 0.004 };
  const speaker: Tracklet = { ...tracklet(2, 20, 99, 0.3), motion: 0.06 };

  it('It is not selected in a shot in which another face moves, not even before that one appears.', () => {
    expect(selectTracklets([poster, speaker], 100)).toEqual([speaker]);
  });

  it('It is selected when no other face moves, or the other one was seen too briefly to measure its motion.', () => {
    expect(selectTracklets([poster], 100)).toEqual([poster]);
    expect(selectTracklets([poster, { ...speaker, motion: 0.005 }], 100)).toEqual([poster]);
    expect(selectTracklets([poster, { ...speaker, motion: undefined }], 100)).toEqual([poster]);
  });

  it('It is named among the other faces with the time in which both are visible.', () => {
    expect(listFaceChoices([speaker], [poster, speaker], 100)).toEqual([
      { start: 20, end: 100, chosen: speaker.place, others: [{ ...poster.place, isStill: true }] },
    ]);
    expect(listFaceChoices([speaker], [speaker, tracklet(3, 50, 51, 0.2)], 100)).toEqual([]);
  });
});
