/** The slot of the keeper, behind those of all other workers. */
export const KEEPER_SLOT = 256
