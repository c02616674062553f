/** Sizes of the lanes, CSS pixels. */
export const BARS = 44;
export const LOCAL_Y = 68;
export const CLOUD_Y = 96;
export const HEIGHT = 124;
/** A finger must hit one column. */
export const NARROWEST = 17;
export const WIDEST = 28;
