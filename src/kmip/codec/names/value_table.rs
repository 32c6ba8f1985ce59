//! The table of enumerations and bit masks: KMIP 1.0 to 2.1 (KMIP 2.1 section 11 and 12, KMIP 1.4 section 9.1.3.2 and 9.1.3.3).
//!
//! Behind each name stand the tags whose values it is for, then the values: number and name as JSON and XML write it.

use super::named_values;

named_values! {
    enumeration AdjustmentType [AdjustmentType] {
        1 Increment, 2 Decrement, 3 Negate,
    }
    enumeration AlternativeNameType [AlternativeNameType] {
        1 UninterpretedTextString, 2 URI, 3 ObjectSerialNumber, 4 EmailAddress, 5 DNSName, 6 X_500DistinguishedName,
        7 IPAddress,
    }
    enumeration AsynchronousIndicator [AsynchronousIndicator] {
        1 Mandatory, 2 Optional, 3 Prohibited,
    }
    enumeration AttestationType [AttestationType] {
        1 TPMQuote, 2 TCGIntegrityReport, 3 SAMLAssertion,
    }
    enumeration BatchErrorContinuationOption [BatchErrorContinuationOption] {
        1 Continue, 2 Stop, 3 Undo,
    }
    enumeration BlockCipherMode [BlockCipherMode] {
        1 CBC, 2 ECB, 3 PCBC, 4 CFB, 5 OFB, 6 CTR, 7 CMAC, 8 CCM, 9 GCM, 0xa CBC_MAC, 0xb XTS, 0xc AESKeyWrapPadding,
        0xd NISTKeyWrap, 0xe X9_102AESKW, 0xf X9_102TDKW, 0x10 X9_102AKW1, 0x11 X9_102AKW2, 0x12 AEAD,
    }
    enumeration CancellationResult [CancellationResult] {
        1 Canceled, 2 UnableToCancel, 3 Completed, 4 Failed, 5 Unavailable,
    }
    enumeration CertificateRequestType [CertificateRequestType] {
        1 CRMF, 2 PKCS_10, 3 PEM, 4 PGP,
    }
    enumeration CertificateType [CertificateType] {
        1 X_509, 2 PGP,
    }
    enumeration ClientRegistrationMethod [ClientRegistrationMethod] {
        1 Unspecified, 2 ServerPreGenerated, 3 ServerOnDemand, 4 ClientGenerated, 5 ClientRegistered,
    }
    enumeration CredentialType [CredentialType] {
        1 UsernameAndPassword, 2 Device, 3 Attestation, 4 OneTimePassword, 5 HashedPassword, 6 Ticket,
    }
    enumeration CryptographicAlgorithm [CryptographicAlgorithm] {
        1 DES, 2 DES3, 3 AES, 4 RSA, 5 DSA, 6 ECDSA, 7 HMAC_SHA1, 8 HMAC_SHA224, 9 HMAC_SHA256, 0xa HMAC_SHA384,
        0xb HMAC_SHA512, 0xc HMAC_MD5, 0xd DH, 0xe ECDH, 0xf ECMQV, 0x10 Blowfish, 0x11 Camellia, 0x12 CAST5,
        0x13 IDEA, 0x14 MARS, 0x15 RC2, 0x16 RC4, 0x17 RC5, 0x18 SKIPJACK, 0x19 Twofish, 0x1a EC, 0x1b OneTimePad,
        0x1c ChaCha20, 0x1d Poly1305, 0x1e ChaCha20Poly1305, 0x1f SHA3_224, 0x20 SHA3_256, 0x21 SHA3_384,
        0x22 SHA3_512, 0x23 HMAC_SHA3_224, 0x24 HMAC_SHA3_256, 0x25 HMAC_SHA3_384, 0x26 HMAC_SHA3_512, 0x27 SHAKE_128,
        0x28 SHAKE_256, 0x29 ARIA, 0x2a SEED, 0x2b SM2, 0x2c SM3, 0x2d SM4, 0x2e GOSTR34_10_2012,
        0x2f GOSTR34_11_2012, 0x30 GOSTR34_13_2015, 0x31 GOST28147_89, 0x32 XMSS, 0x33 SPHINCS_256, 0x34 McEliece,
        0x35 McEliece_6960119, 0x36 McEliece_8192128, 0x37 Ed25519, 0x38 Ed448,
    }
    mask CryptographicUsageMask [CryptographicUsageMask] {
        1 Sign, 2 Verify, 4 Encrypt, 8 Decrypt, 0x10 WrapKey, 0x20 UnwrapKey, 0x40 Export, 0x80 MACGenerate,
        0x100 MACVerify, 0x200 DeriveKey, 0x400 ContentCommitment, 0x800 KeyAgreement, 0x1000 CertificateSign,
        0x2000 CRLSign, 0x4000 GenerateCryptogram, 0x8000 ValidateCryptogram, 0x10000 TranslateEncrypt,
        0x20000 TranslateDecrypt, 0x40000 TranslateWrap, 0x80000 TranslateUnwrap, 0x100000 Authenticate,
        0x200000 Unrestricted, 0x400000 FPEEncrypt, 0x800000 FPEDecrypt,
    }
    enumeration DRBGAlgorithm [DRBGAlgorithm] {
        1 Unspecified, 2 Dual_EC, 3 Hash, 4 HMAC, 5 CTR,
    }
    enumeration Data [Data] {
        1 Decrypt, 2 Encrypt, 3 Hash, 4 MACMACData, 5 RNGRetrieve, 6 SignSignatureData, 7 SignatureVerify,
    }
    enumeration DerivationMethod [DerivationMethod] {
        1 PBKDF2, 2 HASH, 3 HMAC, 4 ENCRYPT, 5 NIST800_108_C, 6 NIST800_108_F, 7 NIST800_108_DPI, 8 AsymmetricKey,
        9 AWSSignatureVersion4, 0xa HKDF,
    }
    enumeration DestroyAction [DestroyAction] {
        1 Unspecified, 2 KeyMaterialDeleted, 3 KeyMaterialShredded, 4 MetaDataDeleted, 5 MetaDataShredded, 6 Deleted,
        7 Shredded,
    }
    enumeration DigitalSignatureAlgorithm [DigitalSignatureAlgorithm] {
        1 MD2WithRSAEncryption, 2 MD5WithRSAEncryption, 3 SHA_1WithRSAEncryption, 4 SHA_224WithRSAEncryption,
        5 SHA_256WithRSAEncryption, 6 SHA_384WithRSAEncryption, 7 SHA_512WithRSAEncryption, 8 RSASSA_PSS,
        9 DSAWithSHA_1, 0xa DSAWithSHA224, 0xb DSAWithSHA256, 0xc ECDSAWithSHA_1, 0xd ECDSAWithSHA224,
        0xe ECDSAWithSHA256, 0xf ECDSAWithSHA384, 0x10 ECDSAWithSHA512, 0x11 SHA3_256WithRSAEncryption,
        0x12 SHA3_384WithRSAEncryption, 0x13 SHA3_512WithRSAEncryption,
    }
    enumeration EncodingOption [EncodingOption] {
        1 NoEncoding, 2 TTLVEncoding,
    }
    enumeration EndpointRole [EndpointRole] {
        1 Client, 2 Server,
    }
    enumeration FIPS186Variation [FIPS186Variation] {
        1 Unspecified, 2 GPXOriginal, 3 GPXChangeNotice, 4 XOriginal, 5 XChangeNotice, 6 KOriginal, 7 KChangeNotice,
    }
    enumeration HashingAlgorithm [HashingAlgorithm MaskGeneratorHashingAlgorithm] {
        1 MD2, 2 MD4, 3 MD5, 4 SHA_1, 5 SHA_224, 6 SHA_256, 7 SHA_384, 8 SHA_512, 9 RIPEMD_160, 0xa Tiger,
        0xb Whirlpool, 0xc SHA_512_224, 0xd SHA_512_256, 0xe SHA3_224, 0xf SHA3_256, 0x10 SHA3_384, 0x11 SHA3_512,
    }
    enumeration InteropFunction [InteropFunction] {
        1 Begin, 2 End, 3 Reset,
    }
    enumeration ItemType [ExtensionType] {
        1 Structure, 2 Integer, 3 LongInteger, 4 BigInteger, 5 Enumeration, 6 Boolean, 7 TextString, 8 ByteString,
        9 DateTime, 0xa Interval, 0xb DateTimeExtended,
    }
    enumeration KeyCompressionType [KeyCompressionType] {
        1 ECPublicKeyTypeUncompressed, 2 ECPublicKeyTypeX9_62CompressedPrime, 3 ECPublicKeyTypeX9_62CompressedChar2,
        4 ECPublicKeyTypeX9_62Hybrid,
    }
    enumeration KeyFormatType [KeyFormatType] {
        1 Raw, 2 Opaque, 3 PKCS_1, 4 PKCS_8, 5 X_509, 6 ECPrivateKey, 7 TransparentSymmetricKey,
        8 TransparentDSAPrivateKey, 9 TransparentDSAPublicKey, 0xa TransparentRSAPrivateKey,
        0xb TransparentRSAPublicKey, 0xc TransparentDHPrivateKey, 0xd TransparentDHPublicKey,
        0xe TransparentECDSAPrivateKey, 0xf TransparentECDSAPublicKey, 0x10 TransparentECDHPrivateKey,
        0x11 TransparentECDHPublicKey, 0x12 TransparentECMQVPrivateKey, 0x13 TransparentECMQVPublicKey,
        0x14 TransparentECPrivateKey, 0x15 TransparentECPublicKey, 0x16 PKCS_12, 0x17 PKCS_10,
    }
    enumeration KeyRoleType [KeyRoleType] {
        1 BDK, 2 CVK, 3 DEK, 4 MKAC, 5 MKSMC, 6 MKSMI, 7 MKDAC, 8 MKDN, 9 MKCP, 0xa MKOTH, 0xb KEK, 0xc MAC16609,
        0xd MAC97971, 0xe MAC97972, 0xf MAC97973, 0x10 MAC97974, 0x11 MAC97975, 0x12 ZPK, 0x13 PVKIBM, 0x14 PVKPVV,
        0x15 PVKOTH, 0x16 DUKPT, 0x17 IV, 0x18 TRKBK,
    }
    enumeration KeyValueLocationType [KeyValueLocationType] {
        1 UninterpretedTextString, 2 URI,
    }
    enumeration KeyWrapType [KeyWrapType] {
        1 NotWrapped, 2 AsRegistered,
    }
    enumeration LinkType [LinkType] {
        0x101 CertificateLink, 0x102 PublicKeyLink, 0x103 PrivateKeyLink, 0x104 DerivationBaseObjectLink,
        0x105 DerivedKeyLink, 0x106 ReplacementObjectLink, 0x107 ReplacedObjectLink, 0x108 ParentLink,
        0x109 ChildLink, 0x10a PreviousLink, 0x10b NextLink, 0x10c PKCS_12CertificateLink, 0x10d PKCS_12PasswordLink,
        0x10e WrappingKeyLink,
    }
    enumeration MaskGenerator [MaskGenerator] {
        1 MGF1,
    }
    enumeration NISTKeyType [NISTKeyType] {
        1 PrivateSignatureKey, 2 PublicSignatureVerificationKey, 3 SymmetricAuthenticationKey,
        4 PrivateAuthenticationKey, 5 PublicAuthenticationKey, 6 SymmetricDataEncryptionKey,
        7 SymmetricKeyWrappingKey, 8 SymmetricRandomNumberGenerationKey, 9 SymmetricMasterKey,
        0xa PrivateKeyTransportKey, 0xb PublicKeyTransportKey, 0xc SymmetricKeyAgreementKey,
        0xd PrivateStaticKeyAgreementKey, 0xe PublicStaticKeyAgreementKey, 0xf PrivateEphemeralKeyAgreementKey,
        0x10 PublicEphemeralKeyAgreementKey, 0x11 SymmetricAuthorizationKey, 0x12 PrivateAuthorizationKey,
        0x13 PublicAuthorizationKey,
    }
    enumeration NameType [NameType] {
        1 UninterpretedTextString, 2 URI,
    }
    enumeration ObjectGroupMember [ObjectGroupMember] {
        1 GroupMemberFresh, 2 GroupMemberDefault,
    }
    enumeration ObjectType [ObjectType] {
        1 Certificate, 2 SymmetricKey, 3 PublicKey, 4 PrivateKey, 5 SplitKey, 6 Template, 7 SecretData,
        8 OpaqueObject, 9 PGPKey, 0xa CertificateRequest,
    }
    enumeration Operation [Operation] {
        1 Create, 2 CreateKeyPair, 3 Register, 4 ReKey, 5 DeriveKey, 6 Certify, 7 ReCertify, 8 Locate, 9 Check,
        0xa Get, 0xb GetAttributes, 0xc GetAttributeList, 0xd AddAttribute, 0xe ModifyAttribute, 0xf DeleteAttribute,
        0x10 ObtainLease, 0x11 GetUsageAllocation, 0x12 Activate, 0x13 Revoke, 0x14 Destroy, 0x15 Archive,
        0x16 Recover, 0x17 Validate, 0x18 Query, 0x19 Cancel, 0x1a Poll, 0x1b Notify, 0x1c Put, 0x1d ReKeyKeyPair,
        0x1e DiscoverVersions, 0x1f Encrypt, 0x20 Decrypt, 0x21 Sign, 0x22 SignatureVerify, 0x23 MAC, 0x24 MACVerify,
        0x25 RNGRetrieve, 0x26 RNGSeed, 0x27 Hash, 0x28 CreateSplitKey, 0x29 JoinSplitKey, 0x2a Import, 0x2b Export,
        0x2c Log, 0x2d Login, 0x2e Logout, 0x2f DelegatedLogin, 0x30 AdjustAttribute, 0x31 SetAttribute,
        0x32 SetEndpointRole, 0x33 PKCS_11, 0x34 Interop, 0x35 ReProvision, 0x36 SetDefaults, 0x37 SetConstraints,
        0x38 GetConstraints, 0x39 QueryAsynchronousRequests, 0x3a Process, 0x3b Ping,
    }
    enumeration PaddingMethod [PaddingMethod] {
        1 None, 2 OAEP, 3 PKCS5, 4 SSL3, 5 Zeros, 6 ANSIX9_23, 7 ISO10126, 8 PKCS1V1_5, 9 X9_31, 0xa PSS,
    }
    enumeration ProcessingStage [ProcessingStage] {
        1 Submitted, 2 InProcess, 3 Completed,
    }
    enumeration ProtectionLevel [ProtectionLevel] {
        1 High, 2 Low,
    }
    mask ProtectionStorageMask [ProtectionStorageMask] {
        1 Software, 2 Hardware, 4 OnProcessor, 8 OnSystem, 0x10 OffSystem, 0x20 Hypervisor, 0x40 OperatingSystem,
        0x80 Container, 0x100 OnPremises, 0x200 OffPremises, 0x400 SelfManaged, 0x800 Outsourced, 0x1000 Validated,
        0x2000 SameJurisdiction,
    }
    enumeration PutFunction [PutFunction] {
        1 New, 2 Replace,
    }
    enumeration QueryFunction [QueryFunction] {
        1 QueryOperations, 2 QueryObjects, 3 QueryServerInformation, 4 QueryApplicationNamespaces,
        5 QueryExtensionList, 6 QueryExtensionMap, 7 QueryAttestationTypes, 8 QueryRNGs, 9 QueryValidations,
        0xa QueryProfiles, 0xb QueryCapabilities, 0xc QueryClientRegistrationMethods, 0xd QueryDefaultsInformation,
        0xe QueryStorageProtectionMasks,
    }
    enumeration RNGAlgorithm [RNGAlgorithm] {
        1 Unspecified, 2 FIPS186_2, 3 DRBG, 4 NRBG, 5 ANSIX9_31, 6 ANSIX9_62,
    }
    enumeration RNGMode [RNGMode] {
        1 Unspecified, 2 SharedInstantiation, 3 NonSharedInstantiation,
    }
    enumeration RecommendedCurve [RecommendedCurve] {
        1 P_192, 2 K_163, 3 B_163, 4 P_224, 5 K_233, 6 B_233, 7 P_256, 8 K_283, 9 B_283, 0xa P_384, 0xb K_409,
        0xc B_409, 0xd P_521, 0xe K_571, 0xf B_571, 0x10 SECP112R1, 0x11 SECP112R2, 0x12 SECP128R1, 0x13 SECP128R2,
        0x14 SECP160K1, 0x15 SECP160R1, 0x16 SECP160R2, 0x17 SECP192K1, 0x18 SECP224K1, 0x19 SECP256K1,
        0x1a SECT113R1, 0x1b SECT113R2, 0x1c SECT131R1, 0x1d SECT131R2, 0x1e SECT163R1, 0x1f SECT193R1,
        0x20 SECT193R2, 0x21 SECT239K1, 0x22 ANSIX9P192V2, 0x23 ANSIX9P192V3, 0x24 ANSIX9P239V1, 0x25 ANSIX9P239V2,
        0x26 ANSIX9P239V3, 0x27 ANSIX9C2PNB163V1, 0x28 ANSIX9C2PNB163V2, 0x29 ANSIX9C2PNB163V3, 0x2a ANSIX9C2PNB176V1,
        0x2b ANSIX9C2TNB191V1, 0x2c ANSIX9C2TNB191V2, 0x2d ANSIX9C2TNB191V3, 0x2e ANSIX9C2PNB208W1,
        0x2f ANSIX9C2TNB239V1, 0x30 ANSIX9C2TNB239V2, 0x31 ANSIX9C2TNB239V3, 0x32 ANSIX9C2PNB272W1,
        0x33 ANSIX9C2PNB304W1, 0x34 ANSIX9C2TNB359V1, 0x35 ANSIX9C2PNB368W1, 0x36 ANSIX9C2TNB431R1,
        0x37 BRAINPOOLP160R1, 0x38 BRAINPOOLP160T1, 0x39 BRAINPOOLP192R1, 0x3a BRAINPOOLP192T1, 0x3b BRAINPOOLP224R1,
        0x3c BRAINPOOLP224T1, 0x3d BRAINPOOLP256R1, 0x3e BRAINPOOLP256T1, 0x3f BRAINPOOLP320R1, 0x40 BRAINPOOLP320T1,
        0x41 BRAINPOOLP384R1, 0x42 BRAINPOOLP384T1, 0x43 BRAINPOOLP512R1, 0x44 BRAINPOOLP512T1, 0x45 CURVE25519,
        0x46 CURVE448,
    }
    enumeration ResultReason [ResultReason] {
        1 ItemNotFound, 2 ResponseTooLarge, 3 AuthenticationNotSuccessful, 4 InvalidMessage, 5 OperationNotSupported,
        6 MissingData, 7 InvalidField, 8 FeatureNotSupported, 9 OperationCanceledByRequester,
        0xa CryptographicFailure, 0xb IllegalOperation, 0xc PermissionDenied, 0xd ObjectArchived,
        0xe IndexOutOfBounds, 0xf ApplicationNamespaceNotSupported, 0x10 KeyFormatTypeNotSupported,
        0x11 KeyCompressionTypeNotSupported, 0x12 EncodingOptionError, 0x13 KeyValueNotPresent,
        0x14 AttestationRequired, 0x15 AttestationFailed, 0x16 Sensitive, 0x17 NotExtractable,
        0x18 ObjectAlreadyExists, 0x19 InvalidTicket, 0x1a UsageLimitExceeded, 0x1b NumericRange,
        0x1c InvalidDataType, 0x1d ReadOnlyAttribute, 0x1e MultiValuedAttribute, 0x1f UnsupportedAttribute,
        0x20 AttributeInstanceNotFound, 0x21 AttributeNotFound, 0x22 AttributeReadOnly, 0x23 AttributeSingleValued,
        0x24 BadCryptographicParameters, 0x25 BadPassword, 0x26 CodecError, 0x28 IllegalObjectType,
        0x29 IncompatibleCryptographicUsageMask, 0x2a InternalServerError, 0x2b InvalidAsynchronousCorrelationValue,
        0x2c InvalidAttribute, 0x2d InvalidAttributeValue, 0x2e InvalidCorrelationValue, 0x2f InvalidCSR,
        0x30 InvalidObjectType, 0x32 KeyWrapTypeNotSupported, 0x34 MissingInitializationVector,
        0x35 NonUniqueNameAttribute, 0x36 ObjectDestroyed, 0x37 ObjectNotFound, 0x39 NotAuthorised,
        0x3a ServerLimitExceeded, 0x3b UnknownEnumeration, 0x3c UnknownMessageExtension, 0x3d UnknownTag,
        0x3e UnsupportedCryptographicParameters, 0x3f UnsupportedProtocolVersion, 0x40 WrappingObjectArchived,
        0x41 WrappingObjectDestroyed, 0x42 WrappingObjectNotFound, 0x43 WrongKeyLifecycleState,
        0x44 ProtectionStorageUnavailable, 0x45 PKCS_11CodecError, 0x46 PKCS_11InvalidFunction,
        0x47 PKCS_11InvalidInterface, 0x48 PrivateProtectionStorageUnavailable,
        0x49 PublicProtectionStorageUnavailable, 0x4a UnknownObjectGroup, 0x4b ConstraintViolation,
        0x4c DuplicateProcessRequest, 0x100 GeneralFailure,
    }
    enumeration ResultStatus [ResultStatus] {
        0 Success, 1 OperationFailed, 2 OperationPending, 3 OperationUndone,
    }
    enumeration RevocationReasonCode [RevocationReasonCode] {
        1 Unspecified, 2 KeyCompromise, 3 CACompromise, 4 AffiliationChanged, 5 Superseded, 6 CessationOfOperation,
        7 PrivilegeWithdrawn,
    }
    enumeration RotateNameType [RotateNameType] {
        1 UninterpretedTextString, 2 URI,
    }
    enumeration SecretDataType [SecretDataType] {
        1 Password, 2 Seed,
    }
    enumeration ShreddingAlgorithm [ShreddingAlgorithm] {
        1 Unspecified, 2 Cryptographic, 3 Unsupported,
    }
    enumeration SplitKeyMethod [SplitKeyMethod] {
        1 XOR, 2 PolynomialSharingGF2_16, 3 PolynomialSharingPrimeField, 4 PolynomialSharingGF2_8,
    }
    enumeration State [State] {
        1 PreActive, 2 Active, 3 Deactivated, 4 Compromised, 5 Destroyed, 6 DestroyedCompromised,
    }
    mask StorageStatusMask [StorageStatusMask] {
        1 OnlineStorage, 2 ArchivalStorage, 4 DestroyedStorage,
    }
    enumeration TicketType [TicketType] {
        1 Login,
    }
    enumeration UniqueIdentifier [UniqueIdentifier PrivateKeyUniqueIdentifier PublicKeyUniqueIdentifier LinkedObjectIdentifier ReplacedUniqueIdentifier CertificateRequestUniqueIdentifier] {
        1 IDPlaceholder, 2 Certify, 3 Create, 4 CreateKeyPair, 5 CreateKeyPairPrivateKey, 6 CreateKeyPairPublicKey,
        7 CreateSplitKey, 8 DeriveKey, 9 Import, 0xa JoinSplitKey, 0xb Locate, 0xc Register, 0xd ReKey, 0xe ReCertify,
        0xf ReKeyKeyPair, 0x10 ReKeyKeyPairPrivateKey, 0x11 ReKeyKeyPairPublicKey,
    }
    enumeration UnwrapMode [UnwrapMode] {
        1 Unspecified, 2 Processed, 3 NotProcessed,
    }
    enumeration UsageLimitsUnit [UsageLimitsUnit] {
        1 Byte, 2 Object,
    }
    enumeration ValidationAuthorityType [ValidationAuthorityType] {
        1 Unspecified, 2 NISTCMVP, 3 CommonCriteria,
    }
    enumeration ValidationType [ValidationType] {
        1 Unspecified, 2 Hardware, 3 Software, 4 Firmware, 5 Hybrid,
    }
    enumeration ValidityIndicator [ValidityIndicator] {
        1 Valid, 2 Invalid, 3 Unknown,
    }
    enumeration WrappingMethod [WrappingMethod] {
        1 Encrypt, 2 MACSign, 3 EncryptThenMACSign, 4 MACSignThenEncrypt, 5 TR_31,
    }
    enumeration ProfileName [ProfileName] {
        1 BaselineServerBasicKMIPV1_2, 2 BaselineServerTLSV1_2KMIPV1_2, 3 BaselineClientBasicKMIPV1_2,
        4 BaselineClientTLSV1_2KMIPV1_2, 5 CompleteServerBasicKMIPV1_2, 6 CompleteServerTLSV1_2KMIPV1_2,
        7 TapeLibraryClientKMIPV1_0, 8 TapeLibraryClientKMIPV1_1, 9 TapeLibraryClientKMIPV1_2,
        0xa TapeLibraryServerKMIPV1_0, 0xb TapeLibraryServerKMIPV1_1, 0xc TapeLibraryServerKMIPV1_2,
        0xd SymmetricKeyLifecycleClientKMIPV1_0, 0xe SymmetricKeyLifecycleClientKMIPV1_1,
        0xf SymmetricKeyLifecycleClientKMIPV1_2, 0x10 SymmetricKeyLifecycleServerKMIPV1_0,
        0x11 SymmetricKeyLifecycleServerKMIPV1_1, 0x12 SymmetricKeyLifecycleServerKMIPV1_2,
        0x13 AsymmetricKeyLifecycleClientKMIPV1_0, 0x14 AsymmetricKeyLifecycleClientKMIPV1_1,
        0x15 AsymmetricKeyLifecycleClientKMIPV1_2, 0x16 AsymmetricKeyLifecycleServerKMIPV1_0,
        0x17 AsymmetricKeyLifecycleServerKMIPV1_1, 0x18 AsymmetricKeyLifecycleServerKMIPV1_2,
        0x19 BasicCryptographicClientKMIPV1_2, 0x1a BasicCryptographicServerKMIPV1_2,
        0x1b AdvancedCryptographicClientKMIPV1_2, 0x1c AdvancedCryptographicServerKMIPV1_2,
        0x1d RNGCryptographicClientKMIPV1_2, 0x1e RNGCryptographicServerKMIPV1_2,
        0x1f BasicSymmetricKeyFoundryClientKMIPV1_0, 0x20 IntermediateSymmetricKeyFoundryClientKMIPV1_0,
        0x21 AdvancedSymmetricKeyFoundryClientKMIPV1_0, 0x22 BasicSymmetricKeyFoundryClientKMIPV1_1,
        0x23 IntermediateSymmetricKeyFoundryClientKMIPV1_1, 0x24 AdvancedSymmetricKeyFoundryClientKMIPV1_1,
        0x25 BasicSymmetricKeyFoundryClientKMIPV1_2, 0x26 IntermediateSymmetricKeyFoundryClientKMIPV1_2,
        0x27 AdvancedSymmetricKeyFoundryClientKMIPV1_2, 0x28 SymmetricKeyFoundryServerKMIPV1_0,
        0x29 SymmetricKeyFoundryServerKMIPV1_1, 0x2a SymmetricKeyFoundryServerKMIPV1_2,
        0x2b OpaqueManagedObjectStoreClientKMIPV1_0, 0x2c OpaqueManagedObjectStoreClientKMIPV1_1,
        0x2d OpaqueManagedObjectStoreClientKMIPV1_2, 0x2e OpaqueManagedObjectStoreServerKMIPV1_0,
        0x2f OpaqueManagedObjectStoreServerKMIPV1_1, 0x30 OpaqueManagedObjectStoreServerKMIPV1_2,
        0x31 SuiteBMinLOS_128ClientKMIPV1_0, 0x32 SuiteBMinLOS_128ClientKMIPV1_1, 0x33 SuiteBMinLOS_128ClientKMIPV1_2,
        0x34 SuiteBMinLOS_128ServerKMIPV1_0, 0x35 SuiteBMinLOS_128ServerKMIPV1_1, 0x36 SuiteBMinLOS_128ServerKMIPV1_2,
        0x37 SuiteBMinLOS_192ClientKMIPV1_0, 0x38 SuiteBMinLOS_192ClientKMIPV1_1, 0x39 SuiteBMinLOS_192ClientKMIPV1_2,
        0x3a SuiteBMinLOS_192ServerKMIPV1_0, 0x3b SuiteBMinLOS_192ServerKMIPV1_1, 0x3c SuiteBMinLOS_192ServerKMIPV1_2,
        0x3d StorageArrayWithSelfEncryptingDriveClientKMIPV1_0,
        0x3e StorageArrayWithSelfEncryptingDriveClientKMIPV1_1,
        0x3f StorageArrayWithSelfEncryptingDriveClientKMIPV1_2,
        0x40 StorageArrayWithSelfEncryptingDriveServerKMIPV1_0,
        0x41 StorageArrayWithSelfEncryptingDriveServerKMIPV1_1,
        0x42 StorageArrayWithSelfEncryptingDriveServerKMIPV1_2, 0x43 HTTPSClientKMIPV1_0, 0x44 HTTPSClientKMIPV1_1,
        0x45 HTTPSClientKMIPV1_2, 0x46 HTTPSServerKMIPV1_0, 0x47 HTTPSServerKMIPV1_1, 0x48 HTTPSServerKMIPV1_2,
        0x49 JSONClientKMIPV1_0, 0x4a JSONClientKMIPV1_1, 0x4b JSONClientKMIPV1_2, 0x4c JSONServerKMIPV1_0,
        0x4d JSONServerKMIPV1_1, 0x4e JSONServerKMIPV1_2, 0x4f XMLClientKMIPV1_0, 0x50 XMLClientKMIPV1_1,
        0x51 XMLClientKMIPV1_2, 0x52 XMLServerKMIPV1_0, 0x53 XMLServerKMIPV1_1, 0x54 XMLServerKMIPV1_2,
        0x55 BaselineServerBasicKMIPV1_3, 0x56 BaselineServerTLSV1_2KMIPV1_3, 0x57 BaselineClientBasicKMIPV1_3,
        0x58 BaselineClientTLSV1_2KMIPV1_3, 0x59 CompleteServerBasicKMIPV1_3, 0x5a CompleteServerTLSV1_2KMIPV1_3,
        0x5b TapeLibraryClientKMIPV1_3, 0x5c TapeLibraryServerKMIPV1_3, 0x5d SymmetricKeyLifecycleClientKMIPV1_3,
        0x5e SymmetricKeyLifecycleServerKMIPV1_3, 0x5f AsymmetricKeyLifecycleClientKMIPV1_3,
        0x60 AsymmetricKeyLifecycleServerKMIPV1_3, 0x61 BasicCryptographicClientKMIPV1_3,
        0x62 BasicCryptographicServerKMIPV1_3, 0x63 AdvancedCryptographicClientKMIPV1_3,
        0x64 AdvancedCryptographicServerKMIPV1_3, 0x65 RNGCryptographicClientKMIPV1_3,
        0x66 RNGCryptographicServerKMIPV1_3, 0x67 BasicSymmetricKeyFoundryClientKMIPV1_3,
        0x68 IntermediateSymmetricKeyFoundryClientKMIPV1_3, 0x69 AdvancedSymmetricKeyFoundryClientKMIPV1_3,
        0x6a SymmetricKeyFoundryServerKMIPV1_3, 0x6b OpaqueManagedObjectStoreClientKMIPV1_3,
        0x6c OpaqueManagedObjectStoreServerKMIPV1_3, 0x6d SuiteBMinLOS_128ClientKMIPV1_3,
        0x6e SuiteBMinLOS_128ServerKMIPV1_3, 0x6f SuiteBMinLOS_192ClientKMIPV1_3, 0x70 SuiteBMinLOS_192ServerKMIPV1_3,
        0x71 StorageArrayWithSelfEncryptingDriveClientKMIPV1_3,
        0x72 StorageArrayWithSelfEncryptingDriveServerKMIPV1_3, 0x73 HTTPSClientKMIPV1_3, 0x74 HTTPSServerKMIPV1_3,
        0x75 JSONClientKMIPV1_3, 0x76 JSONServerKMIPV1_3, 0x77 XMLClientKMIPV1_3, 0x78 XMLServerKMIPV1_3,
        0x79 BaselineServerBasicKMIPV1_4, 0x7a BaselineServerTLSV1_2KMIPV1_4, 0x7b BaselineClientBasicKMIPV1_4,
        0x7c BaselineClientTLSV1_2KMIPV1_4, 0x7d CompleteServerBasicKMIPV1_4, 0x7e CompleteServerTLSV1_2KMIPV1_4,
        0x7f TapeLibraryClientKMIPV1_4, 0x80 TapeLibraryServerKMIPV1_4, 0x81 SymmetricKeyLifecycleClientKMIPV1_4,
        0x82 SymmetricKeyLifecycleServerKMIPV1_4, 0x83 AsymmetricKeyLifecycleClientKMIPV1_4,
        0x84 AsymmetricKeyLifecycleServerKMIPV1_4, 0x85 BasicCryptographicClientKMIPV1_4,
        0x86 BasicCryptographicServerKMIPV1_4, 0x87 AdvancedCryptographicClientKMIPV1_4,
        0x88 AdvancedCryptographicServerKMIPV1_4, 0x89 RNGCryptographicClientKMIPV1_4,
        0x8a RNGCryptographicServerKMIPV1_4, 0x8b BasicSymmetricKeyFoundryClientKMIPV1_4,
        0x8c IntermediateSymmetricKeyFoundryClientKMIPV1_4, 0x8d AdvancedSymmetricKeyFoundryClientKMIPV1_4,
        0x8e SymmetricKeyFoundryServerKMIPV1_4, 0x8f OpaqueManagedObjectStoreClientKMIPV1_4,
        0x90 OpaqueManagedObjectStoreServerKMIPV1_4, 0x91 SuiteBMinLOS_128ClientKMIPV1_4,
        0x92 SuiteBMinLOS_128ServerKMIPV1_4, 0x93 SuiteBMinLOS_192ClientKMIPV1_4, 0x94 SuiteBMinLOS_192ServerKMIPV1_4,
        0x95 StorageArrayWithSelfEncryptingDriveClientKMIPV1_4,
        0x96 StorageArrayWithSelfEncryptingDriveServerKMIPV1_4, 0x97 HTTPSClientKMIPV1_4, 0x98 HTTPSServerKMIPV1_4,
        0x99 JSONClientKMIPV1_4, 0x9a JSONServerKMIPV1_4, 0x9b XMLClientKMIPV1_4, 0x9c XMLServerKMIPV1_4,
        0x104 CompleteServerBasic, 0x105 CompleteServerTLSV1_2, 0x106 TapeLibraryClient, 0x107 TapeLibraryServer,
        0x108 SymmetricKeyLifecycleClient, 0x109 SymmetricKeyLifecycleServer, 0x10a AsymmetricKeyLifecycleClient,
        0x10b AsymmetricKeyLifecycleServer, 0x10c BasicCryptographicClient, 0x10d BasicCryptographicServer,
        0x10e AdvancedCryptographicClient, 0x10f AdvancedCryptographicServer, 0x110 RNGCryptographicClient,
        0x111 RNGCryptographicServer, 0x112 BasicSymmetricKeyFoundryClient,
        0x113 IntermediateSymmetricKeyFoundryClient, 0x114 AdvancedSymmetricKeyFoundryClient,
        0x115 SymmetricKeyFoundryServer, 0x116 OpaqueManagedObjectStoreClient, 0x117 OpaqueManagedObjectStoreServer,
        0x118 SuiteBMinLOS_128Client, 0x119 SuiteBMinLOS_128Server, 0x11a SuiteBMinLOS_192Client,
        0x11b SuiteBMinLOS_192Server, 0x11c StorageArrayWithSelfEncryptingDriveClient,
        0x11d StorageArrayWithSelfEncryptingDriveServer, 0x11e HTTPSClient, 0x11f HTTPSServer, 0x120 JSONClient,
        0x121 JSONServer, 0x122 XMLClient, 0x123 XMLServer, 0x124 AESXTSClient, 0x125 AESXTSServer,
        0x126 QuantumSafeClient, 0x127 QuantumSafeServer, 0x128 PKCS_11Client, 0x129 PKCS_11Server,
        0x12a BaselineClient, 0x12b BaselineServer, 0x12c CompleteServer,
    }
    enumeration PKCS_11Function [PKCS_11Function] {
        1 C_Initialize, 2 C_Finalize, 3 C_GetInfo, 4 C_GetFunctionList, 5 C_GetSlotList, 6 C_GetSlotInfo,
        7 C_GetTokenInfo, 8 C_GetMechanismList, 9 C_GetMechanismInfo, 0xa C_InitToken, 0xb C_InitPIN, 0xc C_SetPIN,
        0xd C_OpenSession, 0xe C_CloseSession, 0xf C_CloseAllSessions, 0x10 C_GetSessionInfo,
        0x11 C_GetOperationState, 0x12 C_SetOperationState, 0x13 C_Login, 0x14 C_Logout, 0x15 C_CreateObject,
        0x16 C_CopyObject, 0x17 C_DestroyObject, 0x18 C_GetObjectSize, 0x19 C_GetAttributeValue,
        0x1a C_SetAttributeValue, 0x1b C_FindObjectsInit, 0x1c C_FindObjects, 0x1d C_FindObjectsFinal,
        0x1e C_EncryptInit, 0x1f C_Encrypt, 0x20 C_EncryptUpdate, 0x21 C_EncryptFinal, 0x22 C_DecryptInit,
        0x23 C_Decrypt, 0x24 C_DecryptUpdate, 0x25 C_DecryptFinal, 0x26 C_DigestInit, 0x27 C_Digest,
        0x28 C_DigestUpdate, 0x29 C_DigestKey, 0x2a C_DigestFinal, 0x2b C_SignInit, 0x2c C_Sign, 0x2d C_SignUpdate,
        0x2e C_SignFinal, 0x2f C_SignRecoverInit, 0x30 C_SignRecover, 0x31 C_VerifyInit, 0x32 C_Verify,
        0x33 C_VerifyUpdate, 0x34 C_VerifyFinal, 0x35 C_VerifyRecoverInit, 0x36 C_VerifyRecover,
        0x37 C_DigestEncryptUpdate, 0x38 C_DecryptDigestUpdate, 0x39 C_SignEncryptUpdate, 0x3a C_DecryptVerifyUpdate,
        0x3b C_GenerateKey, 0x3c C_GenerateKeyPair, 0x3d C_WrapKey, 0x3e C_UnwrapKey, 0x3f C_DeriveKey,
        0x40 C_SeedRandom, 0x41 C_GenerateRandom, 0x42 C_GetFunctionStatus, 0x43 C_CancelFunction,
        0x44 C_WaitForSlotEvent, 0x45 C_GetInterfaceList, 0x46 C_GetInterface, 0x47 C_LoginUser, 0x48 C_SessionCancel,
        0x49 C_MessageEncryptInit, 0x4a C_EncryptMessage, 0x4b C_EncryptMessageBegin, 0x4c C_EncryptMessageNext,
        0x4d C_MessageEncryptFinal, 0x4e C_MessageDecryptInit, 0x4f C_DecryptMessage, 0x50 C_DecryptMessageBegin,
        0x51 C_DecryptMessageNext, 0x52 C_MessageDecryptFinal, 0x53 C_MessageSignInit, 0x54 C_SignMessage,
        0x55 C_SignMessageBegin, 0x56 C_SignMessageNext, 0x57 C_MessageSignFinal, 0x58 C_MessageVerifyInit,
        0x59 C_VerifyMessage, 0x5a C_VerifyMessageBegin, 0x5b C_VerifyMessageNext, 0x5c C_MessageVerifyFinal,
    }
    enumeration PKCS_11ReturnCode [PKCS_11ReturnCode] {
        0 OK, 1 CANCEL, 2 HOST_MEMORY, 3 SLOT_ID_INVALID, 5 GENERAL_ERROR, 6 FUNCTION_FAILED, 7 ARGUMENTS_BAD,
        8 NO_EVENT, 9 NEED_TO_CREATE_THREADS, 0xa CANT_LOCK, 0x10 ATTRIBUTE_READ_ONLY, 0x11 ATTRIBUTE_SENSITIVE,
        0x12 ATTRIBUTE_TYPE_INVALID, 0x13 ATTRIBUTE_VALUE_INVALID, 0x1b ACTION_PROHIBITED, 0x20 DATA_INVALID,
        0x21 DATA_LEN_RANGE, 0x30 DEVICE_ERROR, 0x31 DEVICE_MEMORY, 0x32 DEVICE_REMOVED, 0x40 ENCRYPTED_DATA_INVALID,
        0x41 ENCRYPTED_DATA_LEN_RANGE, 0x42 AEAD_DECRYPT_FAILED, 0x50 FUNCTION_CANCELED, 0x51 FUNCTION_NOT_PARALLEL,
        0x54 FUNCTION_NOT_SUPPORTED, 0x60 KEY_HANDLE_INVALID, 0x62 KEY_SIZE_RANGE, 0x63 KEY_TYPE_INCONSISTENT,
        0x64 KEY_NOT_NEEDED, 0x65 KEY_CHANGED, 0x66 KEY_NEEDED, 0x67 KEY_INDIGESTIBLE,
        0x68 KEY_FUNCTION_NOT_PERMITTED, 0x69 KEY_NOT_WRAPPABLE, 0x6a KEY_UNEXTRACTABLE, 0x70 MECHANISM_INVALID,
        0x71 MECHANISM_PARAM_INVALID, 0x82 OBJECT_HANDLE_INVALID, 0x90 OPERATION_ACTIVE,
        0x91 OPERATION_NOT_INITIALIZED, 0xa0 PIN_INCORRECT, 0xa1 PIN_INVALID, 0xa2 PIN_LEN_RANGE, 0xa3 PIN_EXPIRED,
        0xa4 PIN_LOCKED, 0xb0 SESSION_CLOSED, 0xb1 SESSION_COUNT, 0xb3 SESSION_HANDLE_INVALID,
        0xb4 SESSION_PARALLEL_NOT_SUPPORTED, 0xb5 SESSION_READ_ONLY, 0xb6 SESSION_EXISTS,
        0xb7 SESSION_READ_ONLY_EXISTS, 0xb8 SESSION_READ_WRITE_SO_EXISTS, 0xc0 SIGNATURE_INVALID,
        0xc1 SIGNATURE_LEN_RANGE, 0xd0 TEMPLATE_INCOMPLETE, 0xd1 TEMPLATE_INCONSISTENT, 0xe0 TOKEN_NOT_PRESENT,
        0xe1 TOKEN_NOT_RECOGNIZED, 0xe2 TOKEN_WRITE_PROTECTED, 0xf0 UNWRAPPING_KEY_HANDLE_INVALID,
        0xf1 UNWRAPPING_KEY_SIZE_RANGE, 0xf2 UNWRAPPING_KEY_TYPE_INCONSISTENT, 0x100 USER_ALREADY_LOGGED_IN,
        0x101 USER_NOT_LOGGED_IN, 0x102 USER_PIN_NOT_INITIALIZED, 0x103 USER_TYPE_INVALID,
        0x104 USER_ANOTHER_ALREADY_LOGGED_IN, 0x105 USER_TOO_MANY_TYPES, 0x110 WRAPPED_KEY_INVALID,
        0x112 WRAPPED_KEY_LEN_RANGE, 0x113 WRAPPING_KEY_HANDLE_INVALID, 0x114 WRAPPING_KEY_SIZE_RANGE,
        0x115 WRAPPING_KEY_TYPE_INCONSISTENT, 0x120 RANDOM_SEED_NOT_SUPPORTED, 0x121 RANDOM_NO_RNG,
        0x130 DOMAIN_PARAMS_INVALID, 0x140 CURVE_NOT_SUPPORTED, 0x150 BUFFER_TOO_SMALL, 0x160 SAVED_STATE_INVALID,
        0x170 INFORMATION_SENSITIVE, 0x180 STATE_UNSAVEABLE, 0x190 CRYPTOKI_NOT_INITIALIZED,
        0x191 CRYPTOKI_ALREADY_INITIALIZED, 0x1a0 MUTEX_BAD, 0x1a1 MUTEX_NOT_LOCKED, 0x1b0 NEW_PIN_MODE,
        0x1b1 NEXT_OTP, 0x1b5 EXCEEDED_MAX_ITERATIONS, 0x1b6 FIPS_SELF_TEST_FAILED, 0x1b7 LIBRARY_LOAD_FAILED,
        0x1b8 PIN_TOO_WEAK, 0x1b9 PUBLIC_KEY_INVALID, 0x200 FUNCTION_REJECTED, 0x201 TOKEN_RESOURCE_EXCEEDED,
        0x202 OPERATION_CANCEL_FAILED,
    }
}
