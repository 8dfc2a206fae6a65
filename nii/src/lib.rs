//! nii
